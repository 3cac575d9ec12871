"use strict";
/* The side panel's lists: models with their figures, and one foldable list of check boxes a facet. */
(function () {
  const SEARCH_FROM = 12;

  function checkbox(checked, changed) {
    const box = geor1.element("input");
    box.type = "checkbox";
    box.checked = checked;
    box.addEventListener("change", () => changed(box.checked));
    return box;
  }

  function toggled(set, value, shown) {
    const next = new Set(set);
    if (shown) next.delete(value); else next.add(value);
    return next;
  }

  /* One row a model over the rows that pass every other filter; a miss counts, at an infinite distance. */
  geor1.makeModels = function (root, data, state) {
    const table = geor1.element("table", "models"), note = geor1.element("p", "soft");
    root.append(table, note);

    /* Model -> {n, cells, title}, of models with rows. */
    function figures() {
      const rows = state.get("compare") ? geor1.bothSides(state, state.inWindow) : state.anyModel.filter((i) => state.inside(i));
      const limit = state.get("threshold"), { percent } = geor1, interval = (low, high) => ": 95 % interval " + geor1.interval(low, high, percent);
      const found = state.get("task") === 1
        ? geor1.pairingSummary(data, rows).models.map((s) => [s, [percent(s.share)], "right" + interval(s.low, s.high)])
        : geor1.errorSummary(data, rows, limit).map((s) => [s, [geor1.distance(s.median), percent(s.within / s.n)],
          "within " + geor1.number(limit) + " km" + interval(s.withinLow, s.withinHigh)]);
      return new Map(found.map(([{ model, n }, cells, title]) => [model, { n, cells, title }]));
    }

    function update(changed) {
      if (!(changed.has("rows") || changed.has("window") || changed.has("threshold") || changed.has("compare"))) return;
      const heads = state.get("task") === 1 ? ["model", "n", "right"] : ["model", "n", "median", "≤ " + geor1.number(state.get("threshold")) + " km"];
      const head = geor1.element("tr"), facet = state.facet("model"), key = "facet:model", off = state.get("compare") !== null;
      const found = figures(), nothing = { n: 0, cells: heads.slice(2).map(() => "–"), title: "" };
      head.append(...heads.map((text) => geor1.element("th", "", text)));
      const rows = facet.values.map((name, model) => {
        const { n, cells, title } = found.get(model) ?? nothing, row = geor1.element("tr"), first = geor1.element("td"), label = geor1.element("label");
        if (!n && facet.values.length > 8 && !facet.counts[model]) return null;
        const box = checkbox(!state.get(key).has(model), (shown) => state.set({ [key]: toggled(state.get(key), model, shown) }));
        const dot = geor1.element("span", "dot");
        box.disabled = off;
        dot.style.setProperty("--model", data.header.model_colours[model]);
        label.append(box, dot, geor1.element("span", "model-name", name));
        first.append(label);
        first.title = name;
        row.title = title;
        row.append(first, ...[geor1.number(n), ...cells].map((text) => geor1.element("td", "", text)));
        return row;
      }).filter(Boolean);
      const focused = table.contains(document.activeElement) ? [...table.querySelectorAll("input")].indexOf(document.activeElement) : -1;
      table.replaceChildren(head, ...rows);
      if (focused >= 0) table.querySelectorAll("input")[focused]?.focus();
      const cut = state.inWindow.length < state.shown.length ? "Of what lies in the map's window. " : "";
      note.textContent = cut + (state.get("task") === 1 ? "An unusable answer counts as wrong." : "An unusable answer counts, at an infinite distance.");
    }
    return { update };
  };

  /* Every facet but the models; one with a single value is not shown. */
  geor1.makeFacets = function (root, data, state) {
    const made = [];

    function build(facet) {
      const box = geor1.element("details", "facet"), summary = geor1.element("summary"), key = "facet:" + facet.name;
      const name = geor1.element("span", "facet-name", facet.label), hint = geor1.element("span", "facet-hint");
      const ordered = facet.values.filter((value) => /^\d/.test(value)).length > 1; // bands of a number stand in its order
      const body = geor1.element("div", "facet-body"), list = geor1.element("div", "facet-list"), search = geor1.element("input", "facet-search");
      summary.append(name, hint);
      const all = geor1.button("small", "all", () => state.set({ [key]: new Set() }));
      const none = geor1.button("small", "none", () => state.set({ [key]: new Set(facet.values.keys()) }));
      search.type = "search";
      search.placeholder = "find in " + facet.label;
      search.ariaLabel = search.placeholder;
      search.addEventListener("input", () => draw());
      const bar = geor1.element("div", "facet-bar");
      bar.append(all, none);
      body.append(bar, list);
      box.append(summary, body);
      box.addEventListener("toggle", () => draw());
      root.append(box);

      function draw() {
        const hidden = state.get(key), counts = facet.counts, used = [...facet.values.keys()].filter((k) => counts[k] || hidden.has(k));
        box.hidden = (used.length < 2 && !hidden.size) || (state.get("compare") !== null && geor1.ofAnswers(facet.name));
        hint.textContent = hidden.size ? used.filter((k) => !hidden.has(k)).length + " of " + used.length + " shown" : String(used.length);
        box.classList.toggle("active", hidden.size > 0);
        if (box.hidden || !box.open) return;
        if (used.length >= SEARCH_FROM && !search.isConnected) bar.append(search);
        const wanted = search.value.trim().toLowerCase();
        const kept = used.filter((k) => facet.values[k].toLowerCase().includes(wanted)).sort((a, b) => (ordered ? 0 : counts[b] - counts[a]) || a - b);
        const focused = list.contains(document.activeElement) ? document.activeElement.dataset.value : null;
        list.replaceChildren(...kept.map((k) => {
          const line = geor1.element("label", "facet-line"), text = geor1.element("span", "facet-value", facet.values[k].replace(/_/g, " "));
          const input = checkbox(!hidden.has(k), (shown) => state.set({ [key]: toggled(state.get(key), k, shown) }));
          const only = geor1.button("only", "only", () => state.set({ [key]: new Set([...facet.values.keys()].filter((j) => j !== k)) }), "only " + facet.values[k]);
          input.dataset.value = k;
          text.title = facet.values[k];
          line.append(input, text, geor1.element("span", "facet-count", geor1.number(counts[k])));
          const row = geor1.element("div", "facet-row");
          row.append(line, only);
          return row;
        }));
        if (focused !== null) list.querySelector('[data-value="' + Number(focused) + '"]')?.focus();
      }
      return draw;
    }

    for (const facet of state.facets) if (facet.name !== "model") made.push(build(facet));
    return { update(changed) { if (changed.has("rows")) for (const draw of made) draw(); } };
  };

  /* The legend: shapes and colours as they lie on the map. */
  geor1.makeLegend = function (root, data, state, layer, choropleth) {
    return {
      update(changed) {
        if (![...changed].some((key) => ["rows", "colour", "view", "theme", "compare", "metric", "threshold"].includes(key))) return;
        if (state.get("view") === "countries" && choropleth.legend) { root.replaceChildren(choropleth.legend()); return; }
        root.replaceChildren(...geor1.legendOf(data, state, layer.paint).map((entry) => {
          const line = geor1.element("span", "legend-entry"), canvas = geor1.element("canvas", "swatch");
          canvas.width = canvas.height = 32;
          const context = canvas.getContext("2d"), rim = layer.dark ? "#10171c" : "#ffffff";
          if (entry.kind === "swatch") { context.fillStyle = entry.colour; context.fillRect(4, 10, 24, 12); }
          else geor1.paint(context, entry.kind, 16, 16, 9, entry.colour, rim);
          line.append(canvas, entry.label);
          return line;
        }));
        if (state.get("view") === "points" && (state.get("task") === 1 || state.get("compare")))
          root.append(geor1.element("span", "soft", "Samples of one place lie spread around it."));
        if (state.get("view") === "heat") root.replaceChildren(geor1.element("span", "soft", "Number of samples by true place: faint few, strong many."));
      },
    };
  };
})();
