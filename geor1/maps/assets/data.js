"use strict";
/* The page's data: typed columns, strings that are decoded when asked for, pictures; and how values are written out. */
(function () {
  const TYPES = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, i32: Int32Array, f32: Float32Array };
  const NONE = 255;

  geor1.element = function (tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined && text !== null) node.textContent = text;
    return node;
  };

  geor1.button = function (className, text, action, label) {
    const node = geor1.element("button", className, text);
    node.type = "button";
    if (label) { node.title = label; node.ariaLabel = label; }
    node.addEventListener("click", action);
    return node;
  };

  /* Follow an element's size, a frame later: drawing within the observation would make it observe itself. */
  geor1.onResize = (node, action) => new ResizeObserver(() => requestAnimationFrame(action)).observe(node);

  geor1.number = (value, digits) =>
    value.toLocaleString("en-GB", { maximumFractionDigits: digits === undefined ? 0 : digits });

  geor1.kilometres = function (km) {
    if (km === null || km === undefined || !isFinite(km)) return "no answer";
    return geor1.number(km, km < 10 ? 2 : km < 100 ? 1 : 0) + " km";
  };

  geor1.percent = (share, digits) => (share === null || isNaN(share) ? "–" : (100 * share).toFixed(digits ?? 1) + " %");

  geor1.position = function (lat, lon) {
    if (lat === null || lat === undefined) return "position unknown";
    const ns = lat < 0 ? "S" : "N", ew = lon < 0 ? "W" : "E";
    return Math.abs(lat).toFixed(3) + "° " + ns + ", " + Math.abs(lon).toFixed(3) + "° " + ew;
  };

  async function inflated(text) {
    const binary = atob(text.trim()), bytes = new Uint8Array(binary.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
    if (typeof DecompressionStream === "undefined")
      throw new Error("this browser cannot unpack the page's data (no DecompressionStream): use one of 2023 or later");
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }

  geor1.Data = class {
    /* From the page's own script elements. */
    static async load() {
      const pictures = document.getElementById("geor1-pictures");
      const buffer = await inflated(document.getElementById("geor1-blob").textContent);
      return new this(buffer, pictures ? pictures.textContent.trim() : "");
    }

    constructor(buffer, pictures) {
      const length = new DataView(buffer).getUint32(0, true), start = 4 + length;
      this.decoder = new TextDecoder();
      this.header = JSON.parse(this.decoder.decode(new Uint8Array(buffer, 4, length)));
      this.n = this.header.n;
      this.tables = this.header.tables;
      this.col = {};
      for (const [name, [type, offset, count]] of Object.entries(this.header.columns))
        this.col[name] = new TYPES[type](buffer, start + offset, count);
      this.bodies = pictures;
      this.byItem = null;
      this.sites = null;
    }

    label(store, k) {
      const offsets = this.col[store + ".offsets"];
      return this.decoder.decode(this.col[store + ".bytes"].subarray(offsets[k], offsets[k + 1]));
    }
    text(i) { return this.label("text", this.col.text[i]); }
    item(i) { return this.label("item", this.col.item[i]); }
    place(i) { return this.label("label", this.col.place[i]); }
    guessed(i) { return this.label("label", this.col.guessed[i]); }

    picture(t) {
      const offsets = this.col["thumb.offsets"];
      return "data:" + this.header.thumb_type + ";base64," + this.bodies.slice(offsets[t], offsets[t + 1]);
    }

    pictures(i) {
      const start = this.col["picset.start"], set = this.col.picset[i], found = [];
      for (let p = start[set]; p < start[set + 1]; p++) {
        const letter = this.col["pic.letter"][p];
        found.push({ role: this.col["pic.role"][p] ? "tile" : "ground",
          letter: letter === NONE ? "" : String.fromCharCode(65 + letter), thumb: this.col["pic.thumb"][p] });
      }
      return found;
    }

    /* Stated facts as ranges of text(i). */
    marks(i) {
      const start = this.col["fact.start"], found = [];
      for (let f = start[i]; f < start[i + 1]; f++)
        found.push({ begin: this.col["fact.begin"][f], end: this.col["fact.end"][f], holds: this.col["fact.holds"][f] === 1 });
      return found;
    }

    rewards(i) {
      return this.header.rewards.map((name, k) => ({ name, value: this.number("reward:" + k, i) }))
        .filter((term) => term.value !== null);
    }

    number(name, i) {
      const value = this.col[name][i];
      return isNaN(value) ? null : value;
    }

    letter(name, i) {
      const value = this.col[name][i];
      return value === NONE ? null : this.tables.letter[value];
    }

    outcome(i) { return this.header.outcomes[this.col.outcome[i]]; }
    hasTruth(i) { return !isNaN(this.col.tlat[i]); }
    hasGuess(i) { return !isNaN(this.col.plat[i]); }
    colour(i) { return this.header.model_colours[this.col.model[i]]; }

    row(i) {
      const c = this.col, t = this.tables;
      return {
        index: i, model: t.model[c.model[i]], task: c.task[i], condition: t.condition[c.condition[i]], status: t.status[c.status[i]],
        outcome: this.outcome(i), rotation: c.rotation[i], sample: c.sample[i], item: this.item(i), text: this.text(i),
        place: this.place(i), guessed: this.guessed(i), tlat: this.number("tlat", i), tlon: this.number("tlon", i),
        plat: this.number("plat", i), plon: this.number("plon", i), km: this.number("km", i), choice: this.letter("choice", i),
        answer: this.letter("answer", i), country: t.country[c.country[i]], continent: t.continent[c.continent[i]],
        climate: t.climate[c.climate[i]], tokens: c.tokens[i] < 0 ? null : c.tokens[i], finished: c.finished[i] === 1,
        factsTrue: c.facts_true[i], factsStated: c.facts_stated[i], colour: this.colour(i),
      };
    }

    /* Rows of the same task, item and condition, the same rotation and sample first. */
    siblings(i) {
      const c = this.col, { start, rows } = this._rowsByItem(), found = [];
      for (let k = start[c.item[i]]; k < start[c.item[i] + 1]; k++) {
        const other = rows[k];
        if (other !== i && c.task[other] === c.task[i] && c.condition[other] === c.condition[i]) found.push(other);
      }
      const apart = (j) => 2 * (c.rotation[j] !== c.rotation[i]) + (c.sample[j] !== c.sample[i]);
      return Uint32Array.from(found.sort((a, b) => apart(a) - apart(b) || a - b));
    }

    _rowsByItem() {
      if (!this.byItem) {
        const items = this.col.item, count = this.col["item.offsets"].length - 1, start = new Uint32Array(count + 1);
        for (let i = 0; i < this.n; i++) start[items[i] + 1]++;
        for (let k = 0; k < count; k++) start[k + 1] += start[k];
        const next = start.slice(0, count), rows = new Uint32Array(this.n);
        for (let i = 0; i < this.n; i++) rows[next[items[i]]++] = i;
        this.byItem = { start, rows };
      }
      return this.byItem;
    }

    /* Number of each row's true position: rows with the same number lie on the same spot. */
    siteOf() {
      if (!this.sites) {
        const seen = new Map(), site = new Uint32Array(this.n);
        for (let i = 0; i < this.n; i++) {
          const key = Math.round(this.col.tlat[i] * 1e5) * 1e8 + Math.round(this.col.tlon[i] * 1e5); // NaN is one key
          let k = seen.get(key);
          if (k === undefined) seen.set(key, (k = seen.size));
          site[i] = k;
        }
        this.sites = { site, count: seen.size };
      }
      return this.sites;
    }
  };
})();
