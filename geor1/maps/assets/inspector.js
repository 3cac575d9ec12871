"use strict";
/* The page: filters on the right, samples on the map, the worst ones listed first. */
(function () {
  const ALL = -1, SMALLEST_KM = 0.1, LARGEST_KM = 20015.1, LISTED = 200, BINS = 50;
  const byId = (id) => document.getElementById("geor1-" + id);
  const element = (...given) => geor1.element(...given);
  const TASKS = ["geolocation", "pairing"];

  geor1.start = function (map, data, outlines) {
    const scene = new geor1.Scene(data), state = { task: 0, condition: 0, rotation: 0, models: new Set(), outcomes: new Set(), km: 0 };
    const layer = new geor1.SampleLayer(scene);
    let visible = [], popup = null;

    function setUpMap() {
      map.attributionControl.setPrefix("Leaflet").addAttribution("Made with Natural Earth");
      map.createPane("outlines").style.zIndex = 250;
      const onlyCountries = !outlines.features.some((feature) => feature.properties.kind === "land");
      const style = (feature) => {
        const land = feature.properties.kind === "land";
        return { color: data.colours.border, weight: 0.8, stroke: !land, fill: land || onlyCountries, fillColor: data.colours.land, fillOpacity: 1 };
      };
      L.geoJSON(outlines, { style, renderer: L.canvas({ pane: "outlines", padding: 0.3 }), interactive: false,
        pointToLayer: () => null }).addTo(map);
      layer.addTo(map);
      const world = [[-62, -180], [84, 180]];
      map.fitBounds(world, { animate: false, padding: [4, 4] });
      map.setMinZoom(Math.floor(4 * map.getZoom()) / 4 - 0.25);
      map.setMaxBounds([[-120, -220], [120, 220]]);
      map.on("click", (event) => {
        const hits = layer.pick(event.containerPoint, 9);
        if (hits.length) open(hits[0], layer.pick(event.containerPoint, 16)); // neighbours are paged through
      });
      map.on("mousemove", (event) =>
        map.getContainer().classList.toggle("picking", layer.pick(event.containerPoint, 7).length > 0));
      map.on("popupclose", (event) => { if (event.popup === popup) { layer.select(-1); markCurrent(-1); } });
      new ResizeObserver(() => map.invalidateSize({ animate: false })).observe(map.getContainer());
    }

    /* Fly to a sample (unless it was clicked on the map) and show its card. */
    function open(index, here, fly) {
      const row = scene.row(index), known = row.tlat !== null, guessed = row.plat !== null;
      const anchor = known ? [row.tlat, row.tlon] : guessed ? [row.plat, row.plon] : map.getCenter();
      if (fly && known && guessed && Math.abs(row.tlon - row.plon) <= 180)
        map.fitBounds([[row.tlat, row.tlon], [row.plat, row.plon]], { maxZoom: 5, padding: [80, 80], animate: !geor1.still });
      else if (fly && (known || guessed)) map.setView(anchor, Math.max(map.getZoom(), 3), { animate: !geor1.still });
      const again = (other, around) => open(other, around || [other], !around);
      const node = geor1.card(row, data, here || [index], scene.siblings(index), again);
      popup = L.popup({ maxWidth: 440, minWidth: 240, autoPanPadding: [20, 20], className: "geor1-popup" })
        .setLatLng(anchor).setContent(node).openOn(map);
      layer.select(index);
      markCurrent(index);
    }

    function markCurrent(index) {
      for (const button of byId("worst").querySelectorAll("button"))
        button.setAttribute("aria-current", String(Number(button.dataset.index) === index));
    }

    /* ---- filters ---- */
    const inTask = (index) => scene.cell("task", index) === state.task && scene.cell("condition", index) === state.condition
      && (state.rotation === ALL || scene.cell("rotation", index) === state.rotation);

    function passes(index) {
      if (!inTask(index) || !state.models.has(scene.cell("model", index))) return false;
      if (!state.outcomes.has(scene.cell("outcome", index))) return false;
      const km = scene.cell("km", index);
      return state.km <= 0 || (km !== null && km >= state.km);
    }

    function count(values) {
      const counts = new Map();
      for (const value of values) counts.set(value, (counts.get(value) || 0) + 1);
      return counts;
    }

    function select(name, options, current, changed) {
      const label = element("label", "", name), box = element("select");
      box.name = name;
      for (const [value, text] of options) box.append(new Option(text, String(value), false, value === current));
      box.addEventListener("change", () => changed(box.value));
      label.append(box);
      byId("selects").append(label);
    }

    function buildSelects() {
      byId("selects").replaceChildren();
      const tasks = count(data.columns.task || []), order = [...tasks.keys()].sort();
      if (order.length > 1)
        select("task", order.map((task) => [task, TASKS[task] + " (" + geor1.number(tasks.get(task)) + ")"]), state.task,
          (value) => { state.task = Number(value); enter(); });
      const own = (data.columns.condition || []).filter((_, index) => scene.cell("task", index) === state.task);
      const conditions = count(own);
      if (conditions.size > 1)
        select("condition", [...conditions].map(([id, n]) => [id, data.tables.condition[id] + " (" + geor1.number(n) + ")"]),
          state.condition, (value) => { state.condition = Number(value); enter(true); });
      const rotations = count((data.columns.rotation || []).filter((_, index) => scene.cell("task", index) === state.task));
      if (rotations.size > 1)
        select("rotation", [...[...rotations.keys()].sort((a, b) => a - b).map((turn) => [turn, String(turn)]), [ALL, "all"]],
          state.rotation, (value) => { state.rotation = Number(value); enter(true); });
      if (data.tables.model.length > 1)
        select("colour", [["meaning", "by outcome"], ["model", "by model"]], scene.colourBy,
          (value) => { scene.colourBy = state.colour = value; buildLegend(); update(); });
    }

    function checkbox(set, value, text, name) {
      const box = element("input");
      Object.assign(box, { type: "checkbox", checked: set.has(value), name });
      box.addEventListener("change", () => { if (box.checked) set.add(value); else set.delete(value); update(); });
      const label = element("label");
      label.append(box, text);
      return label;
    }

    function swatch(kind, colour) {
      const canvas = element("canvas", "swatch");
      canvas.width = canvas.height = 36;
      geor1.paint(canvas.getContext("2d"), kind, 18, 18, 10, colour);
      return canvas;
    }

    function buildLegend() {
      const colours = data.colours, plain = scene.colourBy === "meaning", mine = plain ? null : colours.unusable;
      const shapes = state.task === 0
        ? [["circle", colours.truth, "truth"], ["diamond", mine || colours.prediction, "prediction"], ["square", colours.unusable, "truth, answer unusable"]]
        : [["circle", mine || colours.right, "right tile chosen"], ["cross", mine || colours.wrong, "wrong tile"], ["square", mine || colours.unusable, "unusable"]];
      byId("legend").replaceChildren(...shapes.map(([kind, colour, text]) => {
        const entry = element("span");
        entry.append(swatch(kind, colour), text);
        return entry;
      }));
      if (!plain) byId("legend").append(element("span", "", "colours: see Models"));
    }

    function buildOutcomes() {
      const counts = count(range().filter(inTask).map((index) => scene.cell("outcome", index)));
      state.outcomes = new Set(counts.keys());
      byId("outcomes").replaceChildren(...[...counts].sort((a, b) => a[0] - b[0]).map(([id, n]) =>
        checkbox(state.outcomes, id, data.outcomes[id] + " " + geor1.number(n), "outcome")));
      byId("error").hidden = state.task === 1;
    }

    function range() { return Array.from({ length: data.n }, (_, index) => index); }

    /* The models' table: every row over the samples of this task and condition that the model has, misses counted. */
    function buildModels() {
      const table = byId("models"), header = state.task === 1 ? ["", "n", "right"] : ["", "n", "median", "≤25 km", "≤200 km"];
      const head = element("tr"), share = (value) => value === null ? "–" : (100 * value).toFixed(1) + "%";
      head.append(...header.map((text) => element("th", "", text)));
      const groups = new Map();
      for (const index of range().filter(inTask)) {
        const model = scene.cell("model", index);
        if (!groups.has(model)) groups.set(model, []);
        groups.get(model).push(index);
      }
      state.models = new Set(groups.keys());
      table.replaceChildren(head, ...[...groups].map(([model, indices]) => {
        const row = element("tr"), s = scene.summary(indices), dot = element("span", "dot");
        const first = element("td"), label = checkbox(state.models, model, "", "model");
        dot.style.background = data.model_colours[model];
        label.append(dot, data.tables.model[model]);
        first.append(label);
        first.title = data.tables.model[model];
        const cells = state.task === 1 ? [geor1.number(s.n), share(s.right)]
          : [geor1.number(s.n), geor1.kilometres(s.median), share(s.within25), share(s.within200)];
        row.append(first, ...cells.map((text) => element("td", "", text)));
        return row;
      }));
      table.title = "Over all samples of this task and condition. An unusable answer counts as wrong, at an infinite distance.";
    }

    /* ---- the error slider ---- */
    const toKm = (step) => step <= 0 ? 0 : SMALLEST_KM * Math.pow(LARGEST_KM / SMALLEST_KM, step / 100);
    const toShare = (km) => Math.max(0, Math.min(1, Math.log(km / SMALLEST_KM) / Math.log(LARGEST_KM / SMALLEST_KM)));

    function setThreshold(km, fromSlider) {
      state.km = km;
      if (!fromSlider) byId("threshold").value = km ? 100 * toShare(km) : 0;
      byId("threshold-text").textContent = km ? geor1.kilometres(km) : "0 km (all)";
      update();
    }

    function buildSlider() {
      const slider = byId("threshold");
      slider.addEventListener("input", () => setThreshold(toKm(Number(slider.value)), true));
      byId("marks").replaceChildren(...[0, ...data.thresholds_km].map((km) => {
        const button = element("button", "", km ? "≥ " + geor1.number(km) : "all");
        button.type = "button";
        button.addEventListener("click", () => setThreshold(km));
        return button;
      }));
    }

    function drawHistogram() {
      const canvas = byId("histogram"), context = canvas.getContext("2d"), bins = new Array(BINS).fill(0);
      const shown = range().filter((index) => inTask(index) && state.models.has(scene.cell("model", index)));
      for (const index of shown) {
        const km = scene.cell("km", index);
        if (km !== null) bins[Math.min(BINS - 1, Math.floor(toShare(Math.max(km, SMALLEST_KM)) * BINS))]++;
      }
      const top = Math.max(1, ...bins), width = canvas.width / BINS;
      context.clearRect(0, 0, canvas.width, canvas.height);
      bins.forEach((n, bin) => {
        const height = Math.ceil((canvas.height - 2) * n / top);
        context.fillStyle = (bin + 1) / BINS > toShare(state.km || SMALLEST_KM) ? data.colours.error : "#cfd5d9";
        context.fillRect(bin * width, canvas.height - height, width - 1, height);
      });
    }

    /* ---- list and status ---- */
    function listWorst() {
      const worst = [...visible].sort((a, b) => scene.rank[a] - scene.rank[b]);
      const rows = worst.slice(0, LISTED).map((index) => {
        const row = scene.row(index), button = element("button"), dot = element("span", "dot"), entry = element("li");
        dot.style.background = row.colour;
        const places = row.task === 0 && row.guessed ? (row.place || "?") + " → " + row.guessed : row.place || row.item;
        const verdict = row.task === 0 && row.km !== null ? geor1.kilometres(row.km) : geor1.verdict(row);
        button.type = "button";
        button.dataset.index = index;
        button.title = row.model + " · " + row.item + " · " + places;
        button.append(dot, element("span", "what", places), element("span", "km", verdict));
        button.addEventListener("click", () => open(index, [index], true));
        entry.append(button);
        return entry;
      });
      if (!rows.length) rows.push(element("li", "nothing", "No sample passes the filters."));
      if (worst.length > LISTED)
        rows.push(element("li", "nothing", "and " + geor1.number(worst.length - LISTED) + " more: narrow the filters"));
      byId("worst").replaceChildren(...rows);
    }

    function report() {
      const placed = visible.filter((index) => scene.hasPosition(index)).length, status = byId("status");
      let text = geor1.number(placed) + " of " + geor1.number(data.n) + " samples drawn";
      if (visible.length > placed) text += ", " + geor1.number(visible.length - placed) + " without a position (listed only)";
      if (data.left_out) text += "; " + geor1.number(data.left_out) + " pictures left out";
      if (data.missing) text += "; " + geor1.number(data.missing) + " pictures unreadable";
      status.textContent = text;
      Object.assign(status.dataset, { drawn: placed, visible: visible.length, total: data.n, errors: geor1.errors.length });
    }

    function update() {
      visible = range().filter(passes);
      scene.spread(visible);
      layer.show(visible);
      drawHistogram();
      listWorst();
      report();
    }

    /* Enter a task or a condition: rebuild what depends on it. */
    function enter(keepCondition) {
      if (!keepCondition) {
        const first = range().find((index) => scene.cell("task", index) === state.task
          && data.tables.condition[scene.cell("condition", index)] === "normal")
          ?? range().find((index) => scene.cell("task", index) === state.task);
        state.condition = first === undefined ? 0 : scene.cell("condition", first);
        state.rotation = first === undefined ? 0 : scene.cell("rotation", first);
      }
      scene.colourBy = state.colour || (state.task === 0 && data.tables.model.length > 1 ? "model" : "meaning");
      map.closePopup();
      buildSelects();
      buildModels();
      buildLegend();
      buildOutcomes();
      setThreshold(0);
    }

    geor1.still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    geor1.open = (index) => open(index, [index], true);
    byId("title").textContent = document.title = data.title;
    state.task = (data.columns.task || []).includes(0) ? 0 : 1;
    setUpMap();
    buildSlider();
    enter();
    byId("status").dataset.ready = "true";
    window.addEventListener("error", report);
  };
})();
