"use strict";
/* Countries coloured by median error or accuracy of the filtered rows, with the same figures as a table. */
(function () {
  const CLASSES = 5, FEW = 5, stats = geor1.stats, element = (...given) => geor1.element(...given);

  /* ---- what is counted (exported for the tests) ---- */

  /* One entry a country with rows: {country, name, n, value, low, high}. value: median error in km, or a share (within
     the threshold; right). Geolocation rows without a known true place are left out. */
  geor1.countryTable = function (data, rows, { task, metric, threshold }) {
    const names = data.tables.country, { country, outcome } = data.col, found = [];
    const add = (k, n, value, [low, high]) => { if (n) found.push({ country: k, name: names[k], n, value, low, high }); };
    if (task === 0) {
      stats.sortedErrors(data, rows, country, names.length).forEach((errors, k) => {
        const n = errors.length, within = stats.countWithin(errors, threshold);
        if (metric === "median") add(k, n, stats.median(errors), stats.medianInterval(errors));
        else add(k, n, within / n, stats.wilson(within, n));
      });
      return found;
    }
    const n = new Uint32Array(names.length), right = n.slice(), isRight = data.header.outcomes.indexOf("right");
    for (let r = 0; r < rows.length; r++) {
      n[country[rows[r]]]++;
      right[country[rows[r]]] += outcome[rows[r]] === isRight ? 1 : 0;
    }
    names.forEach((_, k) => add(k, n[k], right[k] / n[k], stats.wilson(right[k], n[k])));
    return found;
  };

  const limitsOf = (data) => data.header.thresholds_km.slice(1 - CLASSES);

  /* Class 0 (best) to 4 (worst) of a median error or a share. */
  geor1.countryClass = function (data, measure, value) {
    if (measure === "share") return CLASSES - 1 - Math.min(CLASSES - 1, Math.floor(value * CLASSES));
    return limitsOf(data).filter((limit) => value > limit).length;
  };

  function classLabels(data, measure) {
    if (measure === "share") return Array.from({ length: CLASSES }, (_, k) => `${100 - 20 * (k + 1)}–${100 - 20 * k} %`);
    const limits = limitsOf(data), km = geor1.number;
    const between = limits.slice(1).map((limit, k) => `${km(limits[k])}–${km(limit)} km`);
    return [`up to ${km(limits[0])} km`, ...between, `over ${km(limits[limits.length - 1])} km`];
  }

  /* ---- the view ---- */

  geor1.makeChoropleth = function (map, data, state) {
    const legend = element("div", "choropleth-legend"), shapes = new Map(), pane = map.createPane("choropleth");
    let layer = null, entries = new Map(), stale = true;
    pane.style.zIndex = 260; // above the outlines, below the samples' canvas
    legend.hidden = true;

    const measure = () => (state.get("task") === 0 && state.get("metric") === "median" ? "median" : "share");
    const show = (value) => (measure() === "median" ? geor1.distance(value) : geor1.percent(value));

    /* This country alone; once more, all of them. */
    function only(country) {
      const others = new Set(data.tables.country.keys());
      others.delete(country);
      const now = state.get("facet:country"), alone = now.size === others.size && !now.has(country);
      state.set({ "facet:country": alone ? new Set() : others });
    }

    /* From the table, whose rows are made anew: the focus goes back to where it was. */
    function pick(country) {
      only(country);
      legend.querySelector(`button[data-country="${country}"]`)?.focus();
    }

    function build() {
      const outlines = JSON.parse(document.getElementById("geor1-outlines").textContent);
      const index = new Map(data.tables.country.map((name, k) => [name, k]));
      layer = L.geoJSON(outlines, {
        renderer: L.svg({ pane: "choropleth", padding: 0.3 }), pane: "choropleth",
        filter: (feature) => feature.properties.kind === "country",
        style: { className: "choropleth-country", weight: 0.8 },
        onEachFeature: (feature, shape) => {
          const country = index.get(feature.properties.name);
          if (country !== undefined) shapes.set(country, [...(shapes.get(country) || []), shape]);
          shape.bindTooltip(() => tip(country, feature.properties.name), { sticky: true, className: "choropleth-tip" });
          shape.on("click", () => { if (entries.has(country)) only(country); });
        },
      });
    }

    function tip(country, name) {
      const box = element("div"), entry = entries.get(country);
      box.append(element("strong", "", name || "country without a name"));
      const lines = entry ? [`${title()}: ${show(entry.value)}`, `95 %: ${geor1.interval(entry.low, entry.high, show)}`,
        `n = ${geor1.number(entry.n)}${entry.n < FEW ? ", too few to judge" : ""}`] : ["no sample"];
      box.append(...lines.map((text) => element("div", "", text)));
      return box;
    }

    function title() {
      if (measure() === "median") return "median error";
      return state.get("task") === 0 ? `share within ${geor1.number(state.get("threshold"))} km` : "share right";
    }

    /* Hatching for countries with few samples: one pattern a class, in the shapes' own SVG. */
    function addPatterns() {
      const owner = pane.querySelector("svg");
      if (!owner || owner.querySelector("pattern")) return; // outlines without a country draw nothing
      const defs = owner.insertBefore(geor1.svg("defs"), owner.firstChild);
      for (let k = 0; k < CLASSES; k++) {
        const pattern = geor1.svg("pattern", { id: "choropleth-hatch-" + k, width: 5, height: 5,
          patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
        pattern.append(geor1.svg("rect", { width: 2, height: 5, class: "choropleth-line-" + k }));
        defs.append(pattern);
      }
    }

    function paint() {
      const how = { task: state.get("task"), metric: state.get("metric"), threshold: state.get("threshold") };
      const level = (entry) => geor1.countryClass(data, measure(), entry.value);
      entries = new Map(geor1.countryTable(data, state.shown, how)
        .map((entry) => [entry.country, { ...entry, class: level(entry) }]));
      for (const [country, parts] of shapes)
        for (const shape of parts) {
          const node = shape.getElement(), entry = entries.get(country);
          for (const name of [...node.classList]) if (/^choropleth-(few|level)/.test(name)) node.classList.remove(name);
          if (entry) node.classList.add((entry.n < FEW ? "choropleth-few-" : "choropleth-level-") + entry.class);
        }
      describe();
    }

    function recolour() {
      const ramp = geor1.ramp(geor1.isDark(state.get("theme")));
      for (const node of [pane, legend])
        for (let k = 0; k < CLASSES; k++) node.style.setProperty("--choropleth-" + k, ramp[k]);
    }

    function describe() {
      const list = element("ul", "choropleth-classes"), pair = state.get("compare"), pooled = new Set();
      for (const i of state.shown) pooled.add(data.col.model[i]);
      const of = pair ? " of " + data.tables.model[pair[0]] : pooled.size > 1 ? `, ${pooled.size} models together` : "";
      classLabels(data, measure()).forEach((label, k) => {
        const item = element("li"), swatch = element("span", "choropleth-swatch");
        swatch.style.background = `var(--choropleth-${k})`;
        item.append(swatch, label);
        list.append(item);
      });
      const few = element("li"), hatched = element("span", "choropleth-swatch choropleth-hatched");
      few.append(hatched, `hatched: fewer than ${FEW} samples`);
      list.append(few);
      const absent = [...entries.values()].filter((entry) => !shapes.has(entry.country)).length;
      const opened = Boolean(legend.querySelector("details")?.open);
      legend.replaceChildren(element("h3", "", `Countries by ${title()}${of}`), list);
      if (absent)
        legend.append(element("p", "choropleth-note", `${geor1.number(absent)} without an outline on this map: see the table.`));
      const dependence = geor1.dependenceNote(data, state.shown, true);
      if (dependence) legend.append(element("p", "choropleth-note", dependence));
      legend.append(table(opened));
    }

    /* The same figures for those who do not hover; worst first, countries with few samples last. */
    function table(opened) {
      const box = element("details", "choropleth-details"), body = element("table"), head = element("tr");
      box.append(element("summary", "", `${geor1.number(entries.size)} countries as a table`));
      box.open = opened;
      for (const text of ["country", "n", title(), "95 % interval"]) {
        const cell = element("th", "", text);
        cell.scope = "col";
        head.append(cell);
      }
      body.append(head);
      const sign = measure() === "median" ? -1 : 1, order = (a, b) => (a === b ? 0 : a < b ? -sign : sign); // two may be infinite
      const worst = [...entries.values()].sort((a, b) =>
        Number(a.n < FEW) - Number(b.n < FEW) || order(a.value, b.value) || b.n - a.n);
      for (const entry of worst) {
        const line = element("tr", entry.n < FEW ? "choropleth-thin" : ""), name = element("th");
        const button = geor1.button("", entry.name, () => pick(entry.country));
        name.scope = "row";
        button.dataset.country = entry.country;
        button.title = "Show this country alone; once more for all";
        name.append(button);
        const cells = [geor1.number(entry.n), show(entry.value), geor1.interval(entry.low, entry.high, show)];
        line.append(name, ...cells.map((text) => element("td", "", text)));
        body.append(line);
      }
      box.append(body);
      return box;
    }

    function update(changed) {
      const visible = state.get("view") === "countries";
      stale = stale || !changed || ["rows", "task", "metric", "threshold", "compare"].some((key) => changed.has(key));
      legend.hidden = !visible;
      if (!visible) {
        if (layer && map.hasLayer(layer)) map.removeLayer(layer);
        map.getPane("overlayPane").style.pointerEvents = "";
        return;
      }
      if (!layer) build();
      if (!map.hasLayer(layer)) {
        layer.addTo(map);
        map.getPane("overlayPane").style.pointerEvents = "none"; // the samples' canvas lies over the countries
        addPatterns();
        stale = true; // shapes are made anew when they are added
      }
      recolour();
      if (stale) paint();
      stale = false;
    }

    return { update, legend: () => legend };
  };
})();
