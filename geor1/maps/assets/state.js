"use strict";
/* What the reader has chosen, and the rows that this leaves. One pass over all rows a change, nothing made a row. */
(function () {
  const TASK_OF_FILTER = ["kmMin", "kmMax"];
  const FILTERS = ["task", "condition", "rotation", "search", "compare", ...TASK_OF_FILTER];

  const NAMED = 8; // values of a filter that are written out
  const OF_ANSWERS = ["model", "outcome", "status"]; // filters of answers; a comparison takes filters of items only

  const DEFAULTS = {
    task: 0, condition: 0, rotation: 0, kmMin: 0, kmMax: Infinity, search: "", view: "points", colour: "outcome", arcs: true,
    threshold: 25, metric: "median", follow: true, selected: -1, sort: "rank", descending: false, compare: null, tab: "table",
    theme: "auto",
  };

  geor1.State = class {
    constructor(data) {
      this.data = data;
      this.values = { ...DEFAULTS };
      this.listeners = [];
      this.window = null; // {south, north, west, east}, or null while the whole world is in view
      const slices = data.header.slices.map((slice) => ({ name: slice.column, label: slice.name, column: slice.column, table: slice.table }));
      this.facets = ["model", "outcome", "status", "continent", "country", "climate"]
        .map((name) => ({ name, label: name === "status" ? "parse failure" : name, column: name, table: name })).concat(slices)
        .map((facet) => ({ ...facet, values: facet.name === "outcome" ? data.header.outcomes : data.tables[facet.table] }))
        .map((facet) => ({ ...facet, codes: data.col[facet.column], counts: new Uint32Array(facet.values.length), deny: new Uint8Array(facet.values.length) }));
      for (const facet of this.facets) this.values["facet:" + facet.name] = new Set();
      const enter = this.entry(data.col.task.includes(0) ? 0 : 1);
      Object.assign(this.values, enter);
      this.defaults = { ...this.values };
      this.mask = new Uint8Array(data.n);
      this.partner = this.verdicts = null;
      this.recompute();
      const dark = window.matchMedia("(prefers-color-scheme: dark)");
      dark.addEventListener("change", () => { if (this.values.theme === "auto") this._tell(new Set(["theme"])); });
    }

    get(key) { return this.values[key]; }
    on(listener) { this.listeners.push(listener); }

    /* How a task is entered: condition, rotation, colour; without filters of the other task's answers. */
    entry(task) {
      const c = this.data.col, normal = this.data.tables.condition.indexOf("normal");
      let first = -1;
      for (let i = 0; i < this.data.n; i++)
        if (c.task[i] === task && (first < 0 || c.condition[i] === normal)) {
          first = i;
          if (c.condition[i] === normal) break;
        }
      const many = this.data.tables.model.length > 1;
      return { task, condition: first < 0 ? 0 : c.condition[first], rotation: first < 0 ? 0 : c.rotation[first],
        colour: task === 0 && many ? "model" : "outcome", kmMin: 0, kmMax: Infinity, selected: -1, compare: null,
        metric: task === 0 ? "median" : "accuracy", ...Object.fromEntries(OF_ANSWERS.map((name) => ["facet:" + name, new Set()])) };
    }

    set(patch) {
      const given = "task" in patch && patch.task !== this.values.task ? { ...this.entry(patch.task), ...patch }
        : "condition" in patch && !("rotation" in patch) ? { ...patch, rotation: this._rotationIn(patch.condition) } : patch;
      const changed = new Set();
      for (const [key, value] of Object.entries(given))
        if (!same(this.values[key], value)) { this.values[key] = value; changed.add(key); }
      if (!changed.size) return;
      if ([...changed].some((key) => FILTERS.includes(key) || key.startsWith("facet:"))) {
        this.recompute();
        changed.add("rows").add("window");
      } else if (changed.has("follow")) { this._cut(); changed.add("window"); }
      this._tell(changed);
    }

    /* The rotation on show if the condition has it, else its first: an empty page would say nothing of the reason. */
    _rotationIn(condition) {
      const { col, n } = this.data, { task, rotation } = this.values;
      let first = rotation;
      for (let i = n - 1; i >= 0; i--) {
        if (col.task[i] !== task || col.condition[i] !== condition) continue;
        if (rotation < 0 || col.rotation[i] === rotation) return rotation;
        first = col.rotation[i];
      }
      return first;
    }

    /* The map's window in degrees, or null for the whole world. */
    setWindow(box) {
      if (JSON.stringify(box) === JSON.stringify(this.window)) return;
      this.window = box;
      this._cut();
      this._tell(new Set(["window"]));
    }

    facet(name) { return this.facets.find((facet) => facet.name === name); }

    _tell(changed) { for (const listener of this.listeners) listener(changed); }

    /* Fill `shown`, `mask`, `anyError` (all but the error limits), `anyModel` (all but the model), the facets' counts. */
    recompute() {
      const { data, facets, values, mask } = this, c = data.col, n = data.n, F = facets.length;
      const pairs = values.compare ? geor1.pairUp(data, values.compare[0], values.compare[1]) : null;
      this.partner = pairs && pairs.partner;
      this.verdicts = pairs && pairs.verdicts;
      const hits = values.search ? geor1.matches(data, values.search, !pairs) : null; // of a pair, not what one model wrote
      const low = values.kmMin, high = values.kmMax, limited = values.task === 0 && !pairs && (low > 0 || high < Infinity);
      for (const facet of facets) {
        facet.deny.fill(0);
        facet.counts.fill(0);
        if (pairs && OF_ANSWERS.includes(facet.name)) continue; // else the pairs would be chosen by one model's answers
        for (const k of values["facet:" + facet.name]) facet.deny[k] = 1;
      }
      const codes = facets.map((facet) => facet.codes), deny = facets.map((facet) => facet.deny), counts = facets.map((facet) => facet.counts);
      const shown = new Uint32Array(n), anyError = new Uint32Array(n), anyModel = new Uint32Array(n);
      let s = 0, e = 0, m = 0;
      mask.fill(0);
      for (let i = 0; i < n; i++) {
        if (c.task[i] !== values.task || c.condition[i] !== values.condition) continue;
        if (values.rotation >= 0 && c.rotation[i] !== values.rotation) continue;
        if (hits && !hits[i]) continue;
        if (pairs && (pairs.partner[i] < 0 || c.model[i] !== values.compare[0])) continue;
        let fails = 0, failing = -1;
        for (let f = 0; f < F && fails < 2; f++) if (deny[f][codes[f][i]]) { fails++; failing = f; }
        const within = !limited || (c.km[i] >= low && c.km[i] <= high); // NaN, a miss, has no distance: outside
        if (fails === 0) anyError[e++] = i;
        if (!within) continue;
        if (fails === 0) {
          shown[s++] = i;
          mask[i] = 1;
          for (let f = 0; f < F; f++) counts[f][codes[f][i]]++;
        } else if (fails === 1) counts[failing][codes[failing][i]]++;
        if (fails === 0 || (fails === 1 && failing === 0)) anyModel[m++] = i;
      }
      this.shown = shown.subarray(0, s);
      this.anyError = anyError.subarray(0, e);
      this.anyModel = anyModel.subarray(0, m);
      this._cut();
    }

    /* Whether a row's true place (its answer's, where the truth is unknown) lies in the window. */
    inside(i) {
      const box = this.values.follow ? this.window : null;
      if (!box) return true;
      const c = this.data.col, known = !isNaN(c.tlat[i]), lat = known ? c.tlat[i] : c.plat[i], lon = known ? c.tlon[i] : c.plon[i];
      return lat >= box.south && lat <= box.north && lon >= box.west && lon <= box.east;
    }

    _cut() {
      this.inWindow = this.window && this.values.follow ? this.shown.filter((i) => this.inside(i)) : this.shown;
    }
  };

  /* The filters in force, in words; "" where there are none. */
  geor1.filtersInWords = function (state) {
    const parts = [], low = state.get("kmMin"), high = state.get("kmMax"), pair = state.get("compare");
    for (const { name, label, values } of state.facets) {
      const out = state.get("facet:" + name), kept = [...values.keys()].filter((k) => !out.has(k));
      if (!out.size || (pair && OF_ANSWERS.includes(name))) continue;
      const few = kept.length <= out.size, listed = (few ? kept : [...out]).map((k) => values[k]);
      parts.push(label + (few ? ": " : " without: ") + (listed.slice(0, NAMED).join(", ") || "none")
        + (listed.length > NAMED ? " and " + (listed.length - NAMED) + " more" : ""));
    }
    if (state.get("task") === 0 && !pair && low > 0) parts.push("error of at least " + geor1.kilometres(low));
    if (state.get("task") === 0 && !pair && high < Infinity) parts.push("error of at most " + geor1.kilometres(high));
    if (state.get("search")) parts.push("search: " + state.get("search"));
    return parts.join("; ");
  };

  /* Rows of the first model and, in a comparison, their partners under the second. */
  geor1.bothSides = function (state, rows) {
    if (!state.get("compare")) return rows;
    const both = new Uint32Array(2 * rows.length);
    both.set(rows);
    for (let r = 0; r < rows.length; r++) both[rows.length + r] = state.partner[rows[r]];
    return both;
  };

  geor1.ofAnswers = (name) => OF_ANSWERS.includes(name);

  /* Paper is light and does not scroll. Its pages are counted after the event and before the media query tells. */
  geor1.onPaper = (function () {
    const query = window.matchMedia("print"), listeners = [];
    let announced = false;
    const tell = () => { for (const listener of listeners) listener(geor1.onPaper.matches); };
    query.addEventListener("change", tell);
    for (const [name, begins] of [["beforeprint", true], ["afterprint", false]])
      window.addEventListener(name, () => { announced = begins; tell(); });
    return { get matches() { return announced || query.matches; }, listen: (listener) => listeners.push(listener) };
  })();

  geor1.isDark = function (theme) {
    if (geor1.onPaper.matches) return false;
    return theme === "dark" || (theme === "auto" && window.matchMedia("(prefers-color-scheme: dark)").matches);
  };

  function same(a, b) {
    if (a instanceof Set && b instanceof Set) return a.size === b.size && [...a].every((value) => b.has(value));
    if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((value, k) => value === b[k]);
    return Object.is(a, b);
  }
})();
