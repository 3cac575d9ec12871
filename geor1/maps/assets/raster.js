"use strict";
/* A small software painter: antialiased marks and lines blended into one pixel buffer. A hundred thousand canvas paths
   take seconds; the same pixels written by hand take tens of milliseconds, with no GPU. */
(function () {
  const TAU = 2 * Math.PI;

  function trace(context, kind, x, y, r) {
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

  /* kind: circle, diamond, square or cross; a cross is stroked twice so that it keeps a rim. */
  geor1.paint = function (context, kind, x, y, r, colour, rim) {
    trace(context, kind, x, y, r);
    if (kind === "cross") {
      context.lineCap = "round";
      context.strokeStyle = rim; context.lineWidth = r * 0.55 + 2; context.stroke();
      context.strokeStyle = colour; context.lineWidth = r * 0.55; context.stroke();
      return;
    }
    context.fillStyle = colour; context.fill();
    context.strokeStyle = rim; context.lineWidth = 1; context.stroke();
  };

  geor1.rgb = function (hex) {
    const value = parseInt(hex.slice(1), 16);
    return [value >> 16, (value >> 8) & 255, value & 255];
  };

  geor1.Raster = class {
    constructor() {
      this.sprites = new Map();
      this.resize(1, 1, 1);
    }

    resize(width, height, ratio) {
      if (width === this.width && height === this.height && ratio === this.ratio) return;
      if (ratio !== this.ratio) this.sprites.clear();
      Object.assign(this, { width, height, ratio });
      this.image = new ImageData(width, height);
      this.pixels = this.image.data; // premultiplied until shown
      this.words = new Uint32Array(this.pixels.buffer);
      this.stamps = new Uint16Array(width * height); // which mark stands exactly here
    }

    clear() { this.words.fill(0); this.stamps.fill(0); }

    /* The pixels of a mark, drawn once by the canvas, as premultiplied RGBA. */
    sprite(kind, colour, r, rim) {
      const key = kind + colour + r + rim;
      if (!this.sprites.has(key)) {
        const half = Math.ceil((r * 1.25 + 2) * this.ratio), size = 2 * half + 1, canvas = document.createElement("canvas");
        canvas.width = canvas.height = size;
        const context = canvas.getContext("2d", { willReadFrequently: true });
        context.setTransform(this.ratio, 0, 0, this.ratio, half + 0.5, half + 0.5);
        geor1.paint(context, kind, 0, 0, r, colour, rim);
        const data = context.getImageData(0, 0, size, size).data, places = [], values = [];
        for (let p = 0; p < size * size; p++) {
          const a = data[4 * p + 3];
          if (!a) continue;
          places.push((p % size) - half, Math.floor(p / size) - half);
          values.push((data[4 * p] * a) / 255, (data[4 * p + 1] * a) / 255, (data[4 * p + 2] * a) / 255, a);
        }
        this.sprites.set(key, { id: this.sprites.size + 1, half, places: Int16Array.from(places), values: Uint8Array.from(values) });
      }
      return this.sprites.get(key);
    }

    /* Place a mark; where the very same mark stands already, nothing would change and nothing is done. */
    blit(sprite, x, y) {
      const { width, height, pixels } = this, px = Math.round(x), py = Math.round(y), half = sprite.half;
      if (px < half || py < half || px >= width - half || py >= height - half) return; // the layer is wider than the map
      const spot = py * width + px;
      if (this.stamps[spot] === sprite.id) return;
      this.stamps[spot] = sprite.id;
      const { places, values } = sprite;
      for (let p = 0, v = 0; p < places.length; p += 2, v += 4) {
        const at = 4 * ((py + places[p + 1]) * width + px + places[p]), a = values[v + 3];
        if (a === 255) {
          pixels[at] = values[v]; pixels[at + 1] = values[v + 1]; pixels[at + 2] = values[v + 2]; pixels[at + 3] = 255;
          continue;
        }
        const keep = (255 - a) / 255;
        pixels[at] = values[v] + pixels[at] * keep;
        pixels[at + 1] = values[v + 1] + pixels[at + 1] * keep;
        pixels[at + 2] = values[v + 2] + pixels[at + 2] * keep;
        pixels[at + 3] = a + pixels[at + 3] * keep;
      }
    }

    /* A straight line, antialiased along its minor axis; rgb 0-255, alpha 0-1, wide px of the device. */
    line(x0, y0, x1, y1, rgb, alpha, wide) {
      const steep = Math.abs(y1 - y0) > Math.abs(x1 - x0);
      if (steep) [x0, y0, x1, y1] = [y0, x0, y1, x1];
      if (x0 > x1) [x0, y0, x1, y1] = [x1, y1, x0, y0];
      const majors = steep ? this.height : this.width, minors = steep ? this.width : this.height;
      const slope = x1 === x0 ? 0 : (y1 - y0) / (x1 - x0);
      const first = Math.max(0, Math.ceil(x0 - 0.5)), last = Math.min(majors, Math.ceil(x1 - 0.5)); // half open: joints once
      for (let major = first; major < last; major++) {
        const centre = y0 + slope * (major + 0.5 - x0), low = centre - wide / 2, high = centre + wide / 2;
        for (let minor = Math.max(0, Math.floor(low)); minor < high && minor < minors; minor++) {
          const cover = Math.min(high, minor + 1) - Math.max(low, minor);
          if (cover > 0) this._mix(steep ? major * this.width + minor : minor * this.width + major, rgb, alpha * cover);
        }
      }
    }

    _mix(spot, rgb, a) {
      const pixels = this.pixels, at = 4 * spot, keep = 1 - a;
      pixels[at] = rgb[0] * a + pixels[at] * keep;
      pixels[at + 1] = rgb[1] * a + pixels[at + 1] * keep;
      pixels[at + 2] = rgb[2] * a + pixels[at + 2] * keep;
      pixels[at + 3] = 255 * a + pixels[at + 3] * keep;
    }

    /* Undo the premultiplication, which ImageData does not know. */
    finish() {
      const pixels = this.pixels, words = this.words;
      for (let p = 0; p < words.length; p++) {
        if (!words[p]) continue;
        const a = pixels[4 * p + 3];
        if (a === 255 || a === 0) continue;
        const scale = 255 / a;
        pixels[4 * p] *= scale; pixels[4 * p + 1] *= scale; pixels[4 * p + 2] *= scale;
      }
    }

    show(context) { context.putImageData(this.image, 0, 0); }
  };
})();
