"use strict";
/* The data as rows, and what stands where on the map. */
(function () {
  const GOLDEN = Math.PI * (3 - Math.sqrt(5));

  geor1.Scene = class {
    constructor(data) {
      this.data = data;
      this.n = data.n;
      this.colourBy = "meaning"; // or "model"
      this.rank = new Int32Array(this.n);
      data.order.forEach((index, rank) => { this.rank[index] = rank; });
      this.items = new Map();
      for (let i = 0; i < this.n; i++) {
        const key = this.cell("task", i) + " " + this.cell("item", i);
        if (!this.items.has(key)) this.items.set(key, []);
        this.items.get(key).push(i);
      }
      this.offset = new Map();
    }

    cell(name, index) { return this.data.columns[name][index]; }

    outcome(index) { return this.data.outcomes[this.cell("outcome", index)]; }

    hasPosition(index) { return this.cell("tlat", index) !== null || this.cell("plat", index) !== null; }

    colour(index) { return this.data.model_colours[this.cell("model", index)]; }

    arcColour(index) { return this.colourBy === "model" ? this.colour(index) : this.data.colours.error; }

    arc(index) {
      const c = (name) => this.cell(name, index);
      if (c("tlat") === null || c("plat") === null) return null;
      return geor1.arc(c("tlat"), c("tlon"), c("plat"), c("plon"));
    }

    /* [what lies below, what lies on top]: prediction then truth; or the one mark of a pairing sample. */
    marks(index) {
      const c = (name) => this.cell(name, index), colours = this.data.colours, marks = [];
      const truth = c("tlat") !== null, outcome = this.outcome(index);
      const mark = (kind, lat, lon, r, colour) => ({ kind, lat, lon, r, colour, dx: 0, dy: 0 });
      if (c("task") === 0) {
        if (c("plat") !== null)
          marks.push(mark("diamond", c("plat"), c("plon"), 3.6, this.colourBy === "model" ? this.colour(index) : colours.prediction));
        if (truth) marks.push(outcome === "unusable" ? mark("square", c("tlat"), c("tlon"), 4, colours.unusable)
          : mark("circle", c("tlat"), c("tlon"), 3.2, colours.truth));
        return marks;
      }
      if (!truth) return marks;
      const kind = { right: "circle", wrong: "cross", unusable: "square" }[outcome];
      const colour = this.colourBy === "model" ? this.colour(index) : colours[outcome];
      const [dx, dy] = this.offset.get(index) || [0, 0];
      return [{ kind, lat: c("tlat"), lon: c("tlon"), r: 4.5, colour, dx, dy }];
    }

    /* Pairing samples of one place are spread over a spiral of pixels, in order, so that none hides another. */
    spread(visible) {
      const count = new Map();
      this.offset.clear();
      for (const index of visible) {
        if (this.cell("task", index) === 0) continue;
        const key = this.cell("tlat", index) + " " + this.cell("tlon", index), k = count.get(key) || 0;
        count.set(key, k + 1);
        this.offset.set(index, [11 * Math.sqrt(k) * Math.cos(k * GOLDEN), 11 * Math.sqrt(k) * Math.sin(k * GOLDEN)]);
      }
    }

    row(index) {
      const row = { index, colour: this.colour(index), outcome: this.outcome(index) };
      for (const name of ["task", "rotation", "tlat", "tlon", "plat", "plon", "km", "choice", "answer", "rewards", "facts", "tokens",
        "finished", "pictures"]) row[name] = this.cell(name, index);
      for (const [name, table] of [["model", "model"], ["condition", "condition"], ["status", "status"], ["text", "text"],
        ["item", "label"], ["place", "label"], ["guessed", "label"]]) row[name] = this.data.tables[table][this.cell(name, index)];
      return row;
    }

    apart(row, index) { return Number(row.rotation !== this.cell("rotation", index)); }

    siblings(index) {
      const same = this.items.get(this.cell("task", index) + " " + this.cell("item", index));
      return same.filter((other) => other !== index && this.cell("condition", other) === this.cell("condition", index))
        .map((other) => this.row(other)).sort((a, b) => this.apart(a, index) - this.apart(b, index));
    }

    /* n, and the median error (misses count as infinite) or the share right, over the given samples. */
    summary(indices) {
      const task = indices.length ? this.cell("task", indices[0]) : 0;
      if (task === 1) {
        const right = indices.filter((index) => this.outcome(index) === "right").length;
        return { n: indices.length, right: indices.length ? right / indices.length : null };
      }
      const scored = indices.filter((index) => this.cell("tlat", index) !== null);
      const errors = scored.map((index) => this.cell("km", index) === null ? Infinity : this.cell("km", index)).sort((a, b) => a - b);
      const half = errors.length >> 1;
      const median = !errors.length ? null : errors.length % 2 ? errors[half] : (errors[half - 1] + errors[half]) / 2;
      const within = (km) => errors.length ? errors.filter((error) => error <= km).length / errors.length : null;
      return { n: indices.length, median, within25: within(25), within200: within(200) };
    }
  };
})();
