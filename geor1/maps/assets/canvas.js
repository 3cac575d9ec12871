"use strict";
/* One Leaflet layer that paints every visible sample on one canvas. */
(function () {
  const TAU = 2 * Math.PI;

  function shape(context, kind, x, y, r) {
    context.beginPath();
    if (kind === "circle") context.arc(x, y, r, 0, TAU);
    else if (kind === "diamond") {
      context.moveTo(x, y - r * 1.25); context.lineTo(x + r * 1.25, y);
      context.lineTo(x, y + r * 1.25); context.lineTo(x - r * 1.25, y); context.closePath();
    } else if (kind === "square") context.rect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8);
    else {
      context.moveTo(x - r, y - r); context.lineTo(x + r, y + r);
      context.moveTo(x + r, y - r); context.lineTo(x - r, y + r);
    }
  }

  /* kind: circle, diamond, square or cross; a cross is stroked twice so that it keeps a light rim. */
  geor1.paint = function (context, kind, x, y, r, colour) {
    shape(context, kind, x, y, r);
    if (kind === "cross") {
      context.lineCap = "round";
      context.strokeStyle = "#fff"; context.lineWidth = r * 0.55 + 2; context.stroke();
      context.strokeStyle = colour; context.lineWidth = r * 0.55; context.stroke();
      return;
    }
    context.fillStyle = colour; context.fill();
    context.strokeStyle = "#fff"; context.lineWidth = 1; context.stroke();
  };

  geor1.SampleLayer = L.Renderer.extend({
    options: { padding: 0.3, interactive: false },

    initialize: function (scene) {
      L.Renderer.prototype.initialize.call(this, {});
      this.scene = scene; // marks(index) -> [{kind, lat, lon, dx, dy, r, colour}], arc(index), arcColour(index)
      this.arcs = new Map();
      this.visible = [];
      this.selected = -1;
      this._layers = {};
    },

    _initContainer: function () {
      this._container = document.createElement("canvas");
      this._context = this._container.getContext("2d");
    },
    _destroyContainer: function () { this._container.remove(); delete this._context; },
    _updatePaths: function () {},

    _update: function () {
      if (this._map._animatingZoom && this._bounds) return;
      L.Renderer.prototype._update.call(this);
      const ratio = window.devicePixelRatio || 1, size = this._bounds.getSize(), canvas = this._container;
      L.DomUtil.setPosition(canvas, this._bounds.min);
      canvas.width = Math.round(ratio * size.x);
      canvas.height = Math.round(ratio * size.y);
      canvas.style.width = size.x + "px";
      canvas.style.height = size.y + "px";
      this._context.setTransform(ratio, 0, 0, ratio, 0, 0);
      this.draw();
    },

    show: function (visible) { this.visible = visible; this.draw(); },
    select: function (index) { this.selected = index; this.draw(); },

    /* The CRS is linear: two corners give the whole transformation. */
    _frame: function (origin) {
      const a = this._map.latLngToLayerPoint([0, 0]), b = this._map.latLngToLayerPoint([90, 180]);
      return { ox: a.x - origin.x, oy: a.y - origin.y, sx: (b.x - a.x) / 180, sy: (b.y - a.y) / 90 };
    },

    draw: function () {
      if (!this._map || !this._context) return;
      const context = this._context, size = this._bounds.getSize(), frame = this._frame(this._bounds.min);
      context.clearRect(0, 0, size.x, size.y);
      const alpha = Math.max(0.07, Math.min(0.75, 14 / Math.sqrt(this.visible.length + 1)));
      for (const index of this.visible) this._drawArc(index, frame, alpha, 1.1);
      for (let pass = 0; pass < 2; pass++)
        for (const index of this.visible) {
          const mark = this.scene.marks(index)[pass];
          if (mark) this._drawMark(mark, frame, 0);
        }
      if (this.selected >= 0) {
        this._drawArc(this.selected, frame, 1, 3);
        for (const mark of this.scene.marks(this.selected)) this._drawMark(mark, frame, 3);
      }
    },

    _drawMark: function (mark, frame, extra) {
      const x = frame.ox + frame.sx * mark.lon + mark.dx, y = frame.oy + frame.sy * mark.lat + mark.dy;
      geor1.paint(this._context, mark.kind, x, y, mark.r + extra, mark.colour);
    },

    _drawArc: function (index, frame, alpha, width) {
      if (!this.arcs.has(index)) this.arcs.set(index, this.scene.arc(index));
      const pieces = this.arcs.get(index), context = this._context;
      if (!pieces) return;
      context.globalAlpha = alpha;
      context.strokeStyle = this.scene.arcColour(index);
      context.lineWidth = width;
      context.beginPath();
      for (const piece of pieces)
        for (let i = 0; i < piece.length; i += 2) {
          const x = frame.ox + frame.sx * piece[i], y = frame.oy + frame.sy * piece[i + 1];
          if (i) context.lineTo(x, y); else context.moveTo(x, y);
        }
      context.stroke();
      context.globalAlpha = 1;
    },

    /* Indices of samples with a mark within `reach` pixels of a container point, nearest first. */
    pick: function (point, reach) {
      const frame = this._frame(this._map.containerPointToLayerPoint([0, 0])), hits = [];
      for (const index of this.visible)
        for (const mark of this.scene.marks(index)) {
          const x = frame.ox + frame.sx * mark.lon + mark.dx, y = frame.oy + frame.sy * mark.lat + mark.dy;
          const distance = Math.hypot(x - point.x, y - point.y);
          if (distance <= reach) { hits.push([distance, index]); break; }
        }
      return hits.sort((a, b) => a[0] - b[0]).map((hit) => hit[1]);
    },
  });
})();
