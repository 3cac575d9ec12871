"use strict";
/* The table of samples: a real <table> of which only the rows in sight exist, with the search box above it. */
(function () {
  const ROW_PX = 28, OVERSCAN = 6, SEARCH_PAUSE_MS = 150, MOST_TERMS = 4, PRINTED = 100, SEARCH_CHARACTERS = 200;
  const AGAINST = ["= tie", "▲ better", "▼ worse"]; // by geor1.pairUp's verdicts
  const OUTCOME_MARKS = { right: "✓ ", wrong: "✗ ", located: "", unusable: "– " };

  /* Each column: sort key `name`, `label`, `title`, least width, whether it takes spare width, whether a number,
     direction of the first click, and `fill(cell, i)`. One without a key cannot be sorted by. */
  function columnsOf(data, state) {
    const task = state.get("task"), pair = state.get("compare");
    const { col, header, tables } = data, any = (column, holds) => column.some((value, i) => col.task[i] === task && holds(value));
    const place = new Uint32Array(data.n); // among the rows of the task
    geor1.sortedRows(data, "rank", false).filter((i) => col.task[i] === task).forEach((i, at) => { place[i] = at + 1; });
    const text = (value) => (cell, i) => { cell.textContent = value(i); };
    const isolated = (value, fallback) => (cell, i) => {
      const string = value(i);
      cell.replaceChildren(string ? geor1.element("bdi", "", string) : geor1.element("span", "table-none", fallback(i)));
      cell.title = string;
    };
    const position = (lat, lon) => (i) => Number.isFinite(col[lat][i]) ? geor1.position(col[lat][i], col[lon][i]) : null;
    const truth = position("tlat", "tlon"), answer = position("plat", "plon"), letter = (name, i) => data.letter(name, i) ?? "–";
    const status = (i) => tables.status[col.status[i]].replace(/_/g, " ");
    const number = (value, digits) => Number.isFinite(value)
      ? value.toLocaleString("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits }) : "–";
    const turned = any(col.rotation, (value) => value > 0), sampled = any(col.sample, (value) => value > 0);
    const columns = [
      { name: "rank", label: "#", title: "Worst first: place of the sample among all of its task, the worst is 1", width: 70, number: true,
        fill: text((i) => geor1.number(place[i])) },
      { name: "model", label: "model", width: 96, grow: true, fill: (cell, i) => {
        const dot = geor1.element("span", "table-dot");
        dot.style.setProperty("--model", data.colour(i));
        cell.replaceChildren(dot, geor1.element("bdi", "", tables.model[col.model[i]]));
        cell.title = tables.model[col.model[i]];
      } },
      { name: "item", label: "item", title: "Question or photo; r is the rotation of the options, s the sample", width: 110, grow: true,
        fill: (cell, i) => {
          const suffix = (turned ? " r" + col.rotation[i] : "") + (sampled ? " s" + col.sample[i] : "");
          cell.replaceChildren(geor1.element("bdi", "", data.item(i)), geor1.element("span", "table-none", suffix));
          cell.title = data.item(i);
        } },
      { name: "place", label: "true place", width: 130, grow: true,
        fill: isolated((i) => data.place(i), (i) => truth(i) ?? "unknown") },
    ];
    if (task === 0) columns.push(
      { name: "guessed", label: "answer", title: "Place that the model named", width: 130, grow: true,
        fill: isolated((i) => data.guessed(i), (i) => answer(i) ?? "no position") },
      { name: "km", label: "error km", title: "Great-circle distance between truth and answer, km", width: 92, number: true, down: true,
        fill: text((i) => number(col.km[i], col.km[i] < 10 ? 2 : col.km[i] < 100 ? 1 : 0)) });
    else columns.push(
      { name: "choice", label: "chosen / right", title: "Letter chosen / letter of the right tile", width: 126,
        fill: text((i) => letter("choice", i) + " / " + letter("answer", i)) },
      { name: "outcome", label: "outcome", width: 96, fill: (cell, i) => {
        const outcome = data.outcome(i);
        cell.replaceChildren(geor1.element("span", "table-outcome " + outcome, OUTCOME_MARKS[outcome] + outcome));
      } });
    if (pair) columns.push(
      { name: null, label: "against " + tables.model[pair[1]], title: "Whether this answer is better than that of " + tables.model[pair[1]],
        width: 130, fill: text((i) => AGAINST[state.verdicts[i]]) });
    if (any(col.facts_stated, (stated) => stated > 0)) columns.push(
      { name: "facts", label: "facts true", title: "Stated facts that are true / stated facts that could be tested", width: 88, number: true,
        fill: text((i) => col.facts_stated[i] ? col.facts_true[i] + " / " + col.facts_stated[i] : "–") });
    const terms = header.rewards.map((_, k) => "reward:" + k).filter((name) => any(col[name], Number.isFinite));
    const term = (name) => header.rewards[Number(name.slice(7))];
    if (terms.length) columns.push(
      { name: "reward", label: "reward", title: "Sum of the reward terms", width: 78, number: true,
        fill: text((i) => number(geor1.rewardTotal(data, i), 3)) });
    if (terms.length > 1 && terms.length <= MOST_TERMS) for (const name of terms) columns.push(
      { name, label: term(name), title: "Reward term " + term(name), width: 88, number: true,
        fill: text((i) => number(col[name][i], 3)) });
    if (any(col.tokens, (count) => count >= 0)) columns.push(
      { name: "tokens", label: "tokens", title: "Length of the completion; ✂ where it was cut at the limit", width: 84, number: true, down: true,
        fill: text((i) => (col.finished[i] ? "" : "✂ ") + (col.tokens[i] < 0 ? "–" : geor1.number(col.tokens[i]))) });
    columns.push({ name: "status", label: "status", width: 118, fill: isolated(status, () => "–") });
    return columns;
  }

  class Table {
    constructor(root, data, state) {
      Object.assign(this, { root, data, state, cursor: 0, order: new Uint32Array(0), kind: null, columns: [], stale: true });
      this.build();
    }

    build() {
      const make = geor1.element;
      this.root.classList.add("table-root");
      this.bar = make("div", "table-bar");
      this.search = make("input", "table-search");
      Object.assign(this.search, { type: "search", placeholder: "Search item, place, text", maxLength: SEARCH_CHARACTERS, name: "search",
        title: "All words must occur; \"in quotes\" they stand together" });
      this.search.setAttribute("aria-label", "Search item, place and completion");
      this.search.addEventListener("focus", () => geor1.prepareSearch(this.data));
      this.search.addEventListener("input", () => {
        clearTimeout(this.pause);
        this.pause = setTimeout(() => this.ask(), SEARCH_PAUSE_MS);
      });
      this.search.addEventListener("keydown", (event) => { if (event.key === "Enter") this.ask(); });
      this.count = make("output", "table-count");
      this.count.setAttribute("aria-live", "polite");
      this.bar.append(this.search, this.count);
      this.scroll = make("div", "table-scroll");
      this.table = make("table", "table-grid");
      this.table.tabIndex = 0;
      this.table.setAttribute("role", "grid"); // rows are chosen with the arrow keys
      this.table.setAttribute("aria-label", "Samples");
      this.group = make("colgroup");
      this.head = make("thead");
      this.body = make("tbody");
      this.table.append(this.group, this.head, this.body);
      this.empty = make("p", "table-empty", "No sample passes the filters and stands in the map's window.");
      this.printed = make("p", "table-printed");
      this.scroll.append(this.table, this.empty, this.printed);
      this.root.append(this.bar, this.scroll);
      this.scroll.addEventListener("scroll", () => this.later());
      this.table.addEventListener("keydown", (event) => this.onKey(event));
      this.body.addEventListener("click", (event) => {
        const row = event.target.closest("tr[data-at]");
        if (row) this.choose(Number(row.dataset.at));
      });
      geor1.onResize(this.scroll, () => this.draw());
      geor1.onPaper.listen(() => this.draw());
    }

    visible() { return !this.root.hidden && this.state.get("tab") === "table" && (geor1.onPaper.matches || this.scroll.clientHeight > 0); }

    focusSearch() { this.search.focus(); this.search.select(); }

    ask() {
      clearTimeout(this.pause);
      this.pause = null;
      if (this.search.value !== this.state.get("search")) this.state.set({ search: this.search.value });
    }

    later() {
      if (!this.frame) this.frame = requestAnimationFrame(() => { this.frame = 0; this.draw(); });
    }

    /* ---- what is listed ---- */
    update(changed) {
      if (changed.has("search") && !this.pause) this.search.value = this.state.get("search");
      const listed = ["rows", "window", "sort", "descending"].some((key) => changed.has(key));
      this.stale = this.stale || listed;
      if (!this.visible()) return;
      if (this.stale) this.list();
      else if (changed.has("selected")) this.show(this.state.get("selected"));
      else if (changed.has("tab")) this.draw();
    }

    list() {
      const kind = String([this.state.get("task"), this.state.get("compare")]), before = this.order;
      this.stale = false;
      if (kind !== this.kind) { this.kind = kind; this.columns = columnsOf(this.data, this.state); this.buildHead(); }
      this.order = geor1.tableOrder(this.data, this.state);
      this.markSort();
      this.table.setAttribute("aria-rowcount", this.order.length + 1);
      const n = this.order.length, sort = this.columns.find((column) => column.name === this.state.get("sort"));
      const worst = this.state.get("descending") ? ", worst last" : ", worst first";
      const by = !sort ? "" : sort.name === "rank" ? worst : ", by " + sort.label;
      this.count.textContent = geor1.number(n) + (n === 1 ? " sample" : " samples") + by;
      this.empty.hidden = n > 0;
      this.cursor = Math.max(0, Math.min(this.cursor, n - 1));
      if (before !== this.order) { this.cursor = 0; this.scroll.scrollTop = 0; }
      this.show(this.state.get("selected"));
    }

    buildHead() {
      const row = geor1.element("tr");
      let least = 0;
      this.group.replaceChildren();
      row.setAttribute("aria-rowindex", 1);
      for (const column of this.columns) {
        const col = geor1.element("col"), cell = geor1.element("th", column.number ? "table-number" : "");
        const title = column.title || column.label, click = column.name ? () => this.sortBy(column) : () => {};
        const button = geor1.button("table-sort", null, click, title + (column.name ? ". Click to sort." : "."));
        button.disabled = !column.name;
        if (!column.grow) col.style.width = column.width + "px";
        least += column.width;
        this.group.append(col);
        cell.scope = "col";
        button.append(geor1.element("bdi", "", column.label), geor1.element("span", "table-arrow"));
        cell.append(button);
        row.append(cell);
        Object.assign(column, { cell });
      }
      this.table.style.minWidth = least + "px";
      this.head.replaceChildren(row);
    }

    markSort() {
      const name = this.state.get("sort"), descending = this.state.get("descending");
      for (const { cell, name: own } of this.columns) {
        if (own) cell.setAttribute("aria-sort", own !== name ? "none" : descending ? "descending" : "ascending");
        cell.querySelector(".table-arrow").textContent = own !== name ? "" : descending ? "▼" : "▲";
      }
    }

    sortBy(column) {
      const again = this.state.get("sort") === column.name;
      this.state.set({ sort: column.name, descending: again ? !this.state.get("descending") : Boolean(column.down) });
    }

    /* ---- the rows in sight ---- */
    row(at) {
      const i = this.order[at], row = geor1.element("tr"), selected = i === this.state.get("selected");
      row.id = "geor1-table-" + at;
      row.dataset.at = at;
      row.className = (selected ? "table-selected " : "") + (at === this.cursor ? "table-cursor" : "");
      row.setAttribute("aria-rowindex", at + 2);
      row.setAttribute("aria-selected", String(selected));
      for (const column of this.columns) {
        const cell = geor1.element("td", column.number ? "table-number" : "");
        column.fill(cell, i);
        row.append(cell);
      }
      return row;
    }

    spacer(rows) {
      const row = geor1.element("tr", "table-spacer"), cell = geor1.element("td");
      cell.colSpan = this.columns.length;
      cell.style.height = rows * ROW_PX + "px";
      row.setAttribute("aria-hidden", "true");
      row.append(cell);
      return row;
    }

    draw() {
      if (!this.visible()) return;
      if (this.stale) { this.list(); return; }
      const n = this.order.length, top = this.scroll.scrollTop, paper = geor1.onPaper.matches;
      const first = paper ? 0 : Math.max(0, Math.min(n, Math.floor(top / ROW_PX)) - OVERSCAN);
      const last = Math.min(n, paper ? PRINTED : Math.ceil((top + this.scroll.clientHeight) / ROW_PX) + OVERSCAN), rows = [];
      this.printed.textContent = last < n ? `The first ${last} of ${geor1.number(n)}; the exported CSV holds all.` : "";
      if (first > 0) rows.push(this.spacer(first));
      for (let at = first; at < last; at++) rows.push(this.row(at));
      if (last < n && !paper) rows.push(this.spacer(n - last));
      this.body.replaceChildren(...rows);
      if (this.cursor >= first && this.cursor < last) this.table.setAttribute("aria-activedescendant", "geor1-table-" + this.cursor);
      else this.table.removeAttribute("aria-activedescendant");
    }

    /* Bring a row of the data into view and draw; a row that is not listed leaves the table where it is. */
    show(i) {
      const at = i < 0 ? -1 : this.order.indexOf(i);
      if (at >= 0) this.reveal(at);
      this.draw();
    }

    reveal(at) {
      const room = this.scroll.clientHeight - this.head.offsetHeight, top = this.scroll.scrollTop;
      this.cursor = at;
      if (at * ROW_PX < top) this.scroll.scrollTop = at * ROW_PX;
      else if ((at + 1) * ROW_PX > top + room) this.scroll.scrollTop = (at + 1) * ROW_PX - room;
    }

    /* ---- choosing ---- */
    choose(at) {
      this.cursor = at;
      if (this.order[at] === this.state.get("selected")) this.draw();
      else this.state.set({ selected: this.order[at] });
    }

    onKey(event) {
      if (event.target !== this.table || event.ctrlKey || event.metaKey || event.altKey || !this.order.length) return;
      const room = this.scroll.clientHeight - this.head.offsetHeight, last = this.order.length - 1;
      const page = Math.max(1, Math.floor(room / ROW_PX) - 1);
      const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.order.length, End: this.order.length };
      if (event.key === "Enter" || event.key === " ") this.choose(this.cursor);
      else if (event.key in steps) {
        this.reveal(Math.max(0, Math.min(last, this.cursor + steps[event.key])));
        if (this.state.get("selected") >= 0) this.choose(this.cursor); // an open card follows
        else this.draw();
      } else return;
      event.preventDefault();
      event.stopPropagation(); // the page's own arrow keys would move once more
    }
  }

  geor1.makeTable = (root, data, state) => new Table(root, data, state);
})();
