"use strict";
/* One Leaflet layer that paints every visible sample on one canvas: marks and arcs, clusters, or heat. */
(function () {
  const GOLDEN = Math.PI * (3 - Math.sqrt(5)), MANY = 20000, CELL_PX = 64, HEAT_PX = 4, SPREAD_PX = 28, SPREAD_DEG = 3;
  geor1.MAX_ARCS = 4000; // the largest errors; more would be a blot, and slow

  geor1.SampleLayer = L.Renderer.extend({
    options: { padding: 0.3, interactive: false },

    initialize: function (data, state) {
      L.Renderer.prototype.initialize.call(this, {});
      const n = data.n;
      Object.assign(this, { data, state, raster: new geor1.Raster(), arcs: new Map(), _layers: {}, clusters: [], drawnArcs: 0, arcsLeft: 0 });
      this.tx = new Float32Array(n); this.ty = new Float32Array(n); // unit coordinates of truth and guess, NaN where unknown
      this.gx = new Float32Array(n); this.gy = new Float32Array(n);
      for (let i = 0; i < n; i++) {
        const c = data.col;
        this.tx[i] = geor1.unitX(c.tlon[i]); this.ty[i] = geor1.unitY(c.tlat[i]);
        this.gx[i] = geor1.unitX(c.plon[i]); this.gy[i] = geor1.unitY(c.plat[i]);
      }
      this.dx = new Float32Array(n); this.dy = new Float32Array(n); // pairing samples of one spot are spread, in CSS px
      this.byRank = new Uint32Array(n);
      for (let i = 0; i < n; i++) this.byRank[data.col.rank[i]] = i;
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
      const ratio = Math.min(2, window.devicePixelRatio || 1), size = this._bounds.getSize(), canvas = this._container;
      L.DomUtil.setPosition(canvas, this._bounds.min);
      canvas.width = Math.round(ratio * size.x);
      canvas.height = Math.round(ratio * size.y);
      canvas.style.width = size.x + "px";
      canvas.style.height = size.y + "px";
      this.ratio = ratio;
      this.raster.resize(canvas.width, canvas.height, ratio);
      this.draw();
    },

    /* Device pixel of a unit coordinate u: origin + scale * u. */
    _frame: function () {
      const scale = this._map.options.crs.scale(this._map.getZoom()) * this.ratio;
      const corner = this._map.getPixelOrigin().add(this._bounds.min);
      return { scale, ox: -corner.x * this.ratio, oy: -corner.y * this.ratio };
    },

    recolour: function () {
      this.dark = geor1.isDark(this.state.get("theme"));
      this.paint = geor1.paintOf(this.data, this.state, this.dark);
    },

    draw: function () {
      if (!this._map || !this._context || !this.paint) return;
      const view = this.state.get("view"), frame = this._frame();
      this.raster.clear();
      this.clusters = [];
      this.drawnArcs = this.arcsLeft = 0;
      if (view === "points") this._drawPoints(frame);
      this.raster.finish();
      this.redraw();
      if (view === "heat") this._drawHeat(frame);
      if (view === "clusters") this._drawClusters(frame);
    },

    /* The painted pixels again, and the selected sample over them. */
    redraw: function () {
      if (!this._context) return;
      this._context.setTransform(1, 0, 0, 1, 0, 0);
      this.raster.show(this._context);
      const i = this.state.get("selected");
      if (i >= 0) this._drawSelected(i, this._frame());
    },

    /* Apart by 11 px where there is room: a mark must not end up in another country than its sample. */
    _spread: function (frame) {
      const { data, state, dx, dy } = this, { site, count } = data.siteOf(), seen = new Uint32Array(count), all = new Uint32Array(count);
      const reach = Math.max(SPREAD_PX, (SPREAD_DEG * frame.scale) / 360 / this.ratio);
      for (const i of state.shown) all[site[i]]++;
      for (const i of state.shown) {
        const k = seen[site[i]]++, far = Math.sqrt(k) * Math.min(11, reach / Math.sqrt(all[site[i]]));
        dx[i] = far * Math.cos(k * GOLDEN);
        dy[i] = far * Math.sin(k * GOLDEN);
      }
    },

    _single: function () { return this.state.get("task") === 1 || this.state.get("compare") !== null; },

    _kind: function (i) {
      if (this.state.get("compare")) return this.paint.shapes[this.paint.classes[i]];
      return { right: "circle", wrong: "cross", unusable: "square" }[this.data.outcome(i)] || "circle";
    },

    _drawPoints: function (frame) {
      const { state, raster, paint } = this, shown = state.shown, small = shown.length > MANY, rim = this.dark ? "#10171c" : "#ffffff";
      const shrink = small ? 0.55 : 1, colour = (i) => paint.palette[paint.classes[i]].colour;
      const put = (sprite, x, y) => raster.blit(sprite, frame.ox + frame.scale * x, frame.oy + frame.scale * y);
      if (this._single()) {
        this._spread(frame);
        const r = 4.5 * shrink;
        for (const i of shown)
          if (!isNaN(this.tx[i])) {
            const x = frame.ox + frame.scale * this.tx[i] + this.ratio * this.dx[i], y = frame.oy + frame.scale * this.ty[i] + this.ratio * this.dy[i];
            raster.blit(raster.sprite(this._kind(i), colour(i), r, rim), x, y);
          }
        return;
      }
      if (state.get("arcs")) this._drawArcs(frame);
      const colours = this.data.header.colours, unusable = this.data.header.outcomes.indexOf("unusable"), outcome = this.data.col.outcome;
      const guesses = paint.palette.map((entry) => raster.sprite("diamond", entry.colour, 3.6 * shrink, rim));
      const truths = paint.palette.map((entry) => raster.sprite("circle", paint.own ? entry.colour : colours.truth, 3.2 * shrink, rim));
      const missed = raster.sprite("square", colours.unusable, 4 * shrink, rim);
      for (const i of shown) if (!isNaN(this.gx[i])) put(guesses[paint.classes[i]], this.gx[i], this.gy[i]);
      for (const i of shown) if (!isNaN(this.tx[i])) put(outcome[i] === unusable ? missed : truths[paint.classes[i]], this.tx[i], this.ty[i]);
    },

    /* Worst first, so that what is left out are the smallest errors; drawn from the last, so that the worst lie on top. */
    _drawArcs: function (frame) {
      const mask = this.state.mask, chosen = [], { paint } = this;
      let all = 0;
      for (const i of this.byRank)
        if (mask[i] && !isNaN(this.tx[i]) && !isNaN(this.gx[i])) { all++; if (chosen.length < geor1.MAX_ARCS) chosen.push(i); }
      const alpha = all > chosen.length ? 0.07 : Math.max(0.12, Math.min(0.75, 14 / Math.sqrt(chosen.length + 1))), tones = paint.palette.map((entry) => geor1.rgb(paint.arc || entry.colour));
      for (const i of chosen.reverse()) this._lines(this._arc(i), frame, tones[paint.classes[i]], alpha);
      this.drawnArcs = chosen.length;
      this.arcsLeft = all - chosen.length;
    },

    _lines: function (pieces, frame, rgb, alpha) {
      const wide = 1.1 * this.ratio;
      for (const piece of pieces)
        for (let k = 2; k < piece.length; k += 2)
          this.raster.line(frame.ox + frame.scale * piece[k - 2], frame.oy + frame.scale * piece[k - 1],
            frame.ox + frame.scale * piece[k], frame.oy + frame.scale * piece[k + 1], rgb, alpha, wide);
    },

    /* The arc's pieces in unit coordinates. */
    _arc: function (i) {
      if (!this.arcs.has(i)) {
        const c = this.data.col, pieces = geor1.arc(c.tlat[i], c.tlon[i], c.plat[i], c.plon[i]);
        for (const piece of pieces)
          for (let k = 0; k < piece.length; k += 2) { piece[k] = geor1.unitX(piece[k]); piece[k + 1] = geor1.unitY(piece[k + 1]); }
        this.arcs.set(i, pieces);
      }
      return this.arcs.get(i);
    },

    _drawSelected: function (i, frame) {
      const context = this._context, rows = this.state.get("compare") && this.state.partner[i] >= 0 ? [i, this.state.partner[i]] : [i];
      const rim = this.dark ? "#10171c" : "#ffffff", colours = this.data.header.colours;
      const x = (u) => (frame.ox + frame.scale * u) / this.ratio, y = (v) => (frame.oy + frame.scale * v) / this.ratio;
      context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
      for (const row of rows) {
        const ink = geor1.modelInk(this.data, this.data.col.model[row], this.dark);
        if (!isNaN(this.tx[row]) && !isNaN(this.gx[row])) {
          context.beginPath();
          for (const piece of this._arc(row))
            for (let k = 0; k < piece.length; k += 2) if (k) context.lineTo(x(piece[k]), y(piece[k + 1])); else context.moveTo(x(piece[k]), y(piece[k + 1]));
          context.strokeStyle = rim; context.lineWidth = 5; context.stroke();
          context.strokeStyle = rows.length > 1 ? ink : colours.error; context.lineWidth = 3; context.stroke();
        }
        if (!isNaN(this.gx[row])) geor1.paint(context, "diamond", x(this.gx[row]), y(this.gy[row]), 7, rows.length > 1 ? ink : colours.prediction, rim);
      }
      if (isNaN(this.tx[i])) return;
      const single = this._single(), sx = x(this.tx[i]) + (single ? this.dx[i] : 0), sy = y(this.ty[i]) + (single ? this.dy[i] : 0);
      const kind = single ? this._kind(i) : "circle", colour = single ? this.paint.palette[this.paint.classes[i]].colour : colours.truth;
      geor1.paint(context, kind, sx, sy, 7, colour, rim);
      context.beginPath(); context.arc(sx, sy, 12, 0, 2 * Math.PI);
      context.strokeStyle = this.dark ? "#ffffff" : "#1d2429"; context.lineWidth = 2; context.stroke();
    },

    /* Number of samples by true place, smoothed; the ramp of the errors, clear where nothing is. */
    _drawHeat: function (frame) {
      const cell = HEAT_PX * this.ratio, w = Math.ceil(this.raster.width / cell), h = Math.ceil(this.raster.height / cell);
      let grid = new Float32Array(w * h);
      for (const i of this.state.shown) {
        const known = !isNaN(this.tx[i]), u = known ? this.tx[i] : this.gx[i], v = known ? this.ty[i] : this.gy[i];
        const cx = Math.floor((frame.ox + frame.scale * u) / cell), cy = Math.floor((frame.oy + frame.scale * v) / cell);
        if (cx >= 0 && cy >= 0 && cx < w && cy < h) grid[cy * w + cx]++;
      }
      for (let pass = 0; pass < 4; pass++) grid = geor1.boxBlur(grid, w, h, 2);
      const image = new ImageData(w, h), ramp = geor1.ramp(this.dark).map(geor1.rgb);
      let top = 0;
      for (const value of grid) top = Math.max(top, value);
      for (let p = 0; p < grid.length; p++) {
        if (grid[p] <= 1e-6) continue;
        const share = Math.sqrt(grid[p] / top), k = Math.min(4, Math.floor(share * 5)), u = 5 * share - k;
        for (let part = 0; part < 3; part++) image.data[4 * p + part] = ramp[k][part] * (1 - u) + ramp[k + 1][part] * u;
        image.data[4 * p + 3] = 255 * Math.min(0.85, 2.5 * share);
      }
      const small = document.createElement("canvas");
      small.width = w; small.height = h;
      small.getContext("2d").putImageData(image, 0, 0);
      this._context.setTransform(1, 0, 0, 1, 0, 0);
      this._context.imageSmoothingEnabled = true;
      this._context.drawImage(small, 0, 0, w * cell, h * cell);
    },

    /* Groups of samples by a grid fixed to the Earth at this zoom; radius by number, colour by the commonest class. */
    _drawClusters: function (frame) {
      const cells = new Map(), classes = this.paint.palette.length, cell = CELL_PX * this.ratio, context = this._context;
      for (const i of this.state.shown) {
        const known = !isNaN(this.tx[i]), u = known ? this.tx[i] : this.gx[i], v = known ? this.ty[i] : this.gy[i];
        if (isNaN(u)) continue;
        const key = Math.floor((u * frame.scale) / cell) * 1e6 + Math.floor((v * frame.scale) / cell);
        let group = cells.get(key);
        if (!group) cells.set(key, (group = { n: 0, u: 0, v: 0, byClass: new Uint32Array(classes) }));
        group.n++; group.u += u; group.v += v; group.byClass[this.paint.classes[i]]++;
      }
      context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
      context.textAlign = "center"; context.textBaseline = "middle";
      this.clusters = [...cells.values()].map((group) => ({ n: group.n, u: group.u / group.n, v: group.v / group.n, byClass: group.byClass }));
      for (const group of this.clusters) this._drawCluster(context, group, frame);
    },

    _drawCluster: function (context, group, frame) {
      const x = (frame.ox + frame.scale * group.u) / this.ratio, y = (frame.oy + frame.scale * group.v) / this.ratio;
      const r = Math.min(28, 9 + 2.2 * Math.log2(group.n + 1)), rim = this.dark ? "#10171c" : "#ffffff";
      Object.assign(group, { x, y, r });
      let from = -Math.PI / 2;
      group.byClass.forEach((n, k) => { // a ring of shares around the number
        if (!n) return;
        const to = from + (2 * Math.PI * n) / group.n;
        context.beginPath(); context.moveTo(x, y); context.arc(x, y, r, from, to); context.closePath();
        context.fillStyle = this.paint.palette[k].colour; context.fill();
        from = to;
      });
      context.beginPath(); context.arc(x, y, r - 4, 0, 2 * Math.PI); context.fillStyle = rim; context.fill();
      context.fillStyle = this.dark ? "#e8edf0" : "#1d2429";
      context.font = "600 " + (group.n < 1000 ? 11 : 10) + "px system-ui, sans-serif";
      context.fillText(group.n < 10000 ? geor1.number(group.n) : geor1.number(group.n / 1000) + "k", x, y);
    },

    /* Rows with a mark within `reach` CSS px of a container point, nearest first; or the cluster there. */
    pick: function (point, reach) {
      const view = this.state.get("view"), frame = this._frame(), hits = [];
      const at = this._map.containerPointToLayerPoint(point).subtract(this._bounds.min), px = at.x, py = at.y, single = this._single();
      if (view === "clusters") return { rows: [], cluster: this.clusters.find((group) => Math.hypot(group.x - px, group.y - py) <= group.r) };
      if (view !== "points") return { rows: [] };
      const sx = frame.scale / this.ratio, ox = frame.ox / this.ratio, oy = frame.oy / this.ratio;
      const away = (u, v, dx, dy) => { // squared: a root a row takes most of the time
        const x = ox + sx * u + dx - px, y = oy + sx * v + dy - py, d = x * x + y * y;
        return isNaN(d) ? Infinity : d;
      };
      for (const i of this.state.shown) {
        const d = single ? away(this.tx[i], this.ty[i], this.dx[i], this.dy[i]) : Math.min(away(this.tx[i], this.ty[i], 0, 0), away(this.gx[i], this.gy[i], 0, 0));
        if (d <= reach * reach) hits.push([d, i]);
      }
      return { rows: hits.sort((a, b) => a[0] - b[0] || a[1] - b[1]).map((hit) => hit[1]) };
    },
  });

  /* Mean over (2 r + 1) cells along x, then along y. */
  geor1.boxBlur = function (grid, w, h, r) {
    const pass = (source, count, length, stride, step) => {
      const result = new Float32Array(source.length);
      for (let line = 0; line < count; line++) {
        let sum = 0;
        const base = line * stride;
        for (let k = 0; k < Math.min(r, length); k++) sum += source[base + k * step];
        for (let k = 0; k < length; k++) {
          if (k + r < length) sum += source[base + (k + r) * step];
          if (k - r - 1 >= 0) sum -= source[base + (k - r - 1) * step];
          result[base + k * step] = Math.max(0, sum) / (2 * r + 1);
        }
      }
      return result;
    };
    return pass(pass(grid, h, w, w, 1), w, h, 1, w);
  };
})();
