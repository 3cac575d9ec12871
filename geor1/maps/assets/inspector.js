"use strict";
/* The page: it unpacks the data, makes the parts, and lets each of them follow the state. */
(function () {
  const byId = (id) => document.getElementById("geor1-" + id);
  const TASKS = ["geolocation", "pairing"], THEMES = ["auto", "light", "dark"], ALL = -1;
  const VIEWS = [["points", "points"], ["clusters", "clusters"], ["heat", "heat"], ["countries", "by country"]];
  const KEYS = [["j or ↓", "next sample in the table's order"], ["k or ↑", "previous sample"], ["Enter", "open the row under the cursor"],
    ["Esc", "close the card"], ["/", "search"], ["1 2 3 4", "points, clusters, heat, by country"], ["t", "light, dark, as the system"], ["?", "this help"]];

  geor1.start = async function (map) {
    geor1.still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    geor1.mercator = map.options.crs === L.CRS.EPSG3857;
    let data;
    try {
      data = await geor1.Data.load();
    } catch (error) {
      byId("status").textContent = "the data of this page cannot be read (" + error.message + "); was the file cut? Make it again.";
      throw error;
    }
    const state = new geor1.State(data), page = new Inspector(map, data, state);
    Object.assign(geor1, { data, state, page });
    page.begin();
    byId("status").dataset.ready = "true";
  };

  class Inspector {
    constructor(map, data, state) {
      Object.assign(this, { map, data, state });
      byId("title").textContent = document.title = data.header.title;
      this.setUpTheme();
      this.setUpMap();
      this.layer = new geor1.SampleLayer(data, state);
      const choropleth = geor1.makeChoropleth(map, data, state);
      this.parts = [
        geor1.makeModels(byId("models"), data, state), geor1.makeLegend(byId("legend"), data, state, this.layer, choropleth),
        geor1.makeErrorHistogram(byId("histogram"), data, state), geor1.makeFacets(byId("facets"), data, state), choropleth,
        geor1.makeTable(byId("table"), data, state), geor1.makeCharts(byId("charts"), data, state),
        geor1.makeCompare(byId("compare"), data, state), geor1.makeCard(byId("card"), data, state),
        geor1.makeExport(byId("export"), data, state), geor1.makeLink(byId("link"), data, state, map),
      ];
    }

    begin() {
      this.setUpControls();
      this.setUpKeys();
      this.layer.recolour(); // by the state as the address left it
      this.layer.addTo(this.map);
      this.state.on((changed) => this.follow(changed));
      this.follow(new Set([...Object.keys(this.state.values), "rows", "window"]));
      this.map.on("moveend", () => this.readWindow());
      geor1.onResize(this.map.getContainer(), () => this.map.invalidateSize({ animate: false }));
      window.addEventListener("error", () => this.report());
      geor1.onPaper.listen((begins) => this.print(begins));
    }

    /* ---- map ---- */
    setUpMap() {
      const { map, data } = this, outlines = JSON.parse(document.getElementById("geor1-outlines").textContent);
      map.attributionControl.setPrefix("Leaflet").addAttribution("Made with Natural Earth");
      map.createPane("outlines").style.zIndex = 250;
      this.setUpBase();
      this.outlines = L.geoJSON(outlines, { style: (feature) => this.outlineStyle(feature), interactive: false, pointToLayer: () => null,
        renderer: L.canvas({ pane: "outlines", padding: 0.3 }) }).addTo(map);
      this.onlyCountries = !outlines.features.some((feature) => feature.properties.kind === "land");
      this.outlines.setStyle((feature) => this.outlineStyle(feature));
      map.fitBounds([[-62, -180], [84, 180]], { animate: false, padding: [4, 4] });
      map.setMinZoom(Math.floor(4 * map.getZoom()) / 4 - 0.25);
      map.setMaxBounds([[-120, -220], [120, 220]]);
      this.home = map.getZoom();
      map.on("click", (event) => this.click(event));
      map.on("mousemove", (event) => {
        if (map.dragging.moving()) return;
        const { rows, cluster } = this.layer.pick(event.containerPoint, 7);
        map.getContainer().classList.toggle("picking", Boolean(rows.length || cluster));
      });
    }

    setUpBase() {
      const base = this.data.header.base;
      if (!base) return;
      if (base.kind === "picture") L.imageOverlay(base.uri, [[-90, -180], [90, 180]], { pane: "tilePane", interactive: false }).addTo(this.map);
      if (base.kind === "tiles") L.tileLayer(base.url, { attribution: L.Util.template("{text}", { text: geor1.escaped(base.attribution) }), noWrap: true }).addTo(this.map);
      if (base.attribution && base.kind !== "tiles") this.map.attributionControl.addAttribution(geor1.escaped(base.attribution));
    }

    outlineStyle(feature) {
      const tone = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
      const land = feature.properties.kind === "land", bare = Boolean(this.data.header.base);
      return { color: tone("border"), weight: 0.8, stroke: !land, fill: !bare && (land || this.onlyCountries), fillColor: tone("land"), fillOpacity: 1 };
    }

    click(event) {
      const { rows, cluster } = this.layer.pick(event.containerPoint, 9);
      if (cluster) {
        this.map.setView(event.latlng, this.map.getZoom() + 1.5, { animate: !geor1.still });
      } else if (rows.length) {
        const at = rows.indexOf(this.state.get("selected")); // again on the same spot: the next one there
        this.state.set({ selected: rows[(at + 1) % rows.length] });
      }
    }

    /* The window counts as the whole world while all of it can be seen. Moves that the page makes to show a sample leave
       the lists as they are: the reader steps through them. */
    readWindow() {
      if (this.resting) return undefined;
      if (this.showing) { this.showing = false; return undefined; }
      if (this.map.getZoom() <= this.home + 0.01) return this.state.setWindow(null);
      const box = this.map.getBounds();
      this.state.setWindow({ south: box.getSouth(), north: box.getNorth(), west: box.getWest(), east: box.getEast() });
    }

    /* The part of the Earth on the screen, on paper (told once or twice); afterwards the screen as it was, once more when it
       has its size again. The lists stay as they are. */
    print(begins) {
      const { map } = this, { renderer } = this.outlines.options;
      if (!begins && !this.onScreen) return;
      this.onScreen ??= { box: map.getBounds(), centre: map.getCenter(), zoom: map.getZoom(), least: map.options.minZoom, most: map.options.maxBounds };
      const { box, centre, zoom, least, most } = this.onScreen;
      const fit = (move) => {
        this.resting = true;
        map.options.minZoom = 0;
        map.setMaxBounds(null); // else Leaflet, keeping its bounds at the new size, would begin to move
        map.invalidateSize({ animate: false, pan: false });
        move();
        if (!begins) { map.options.minZoom = least; map.setMaxBounds(most); }
        this.resting = false;
      };
      const back = () => map.setView(centre, zoom, { animate: false });
      if (begins) fit(() => map.fitBounds(box, { animate: false }));
      else {
        this.onScreen = null;
        fit(back);
        requestAnimationFrame(() => requestAnimationFrame(() => fit(back)));
      }
      this.follow(new Set(["theme"]));
      L.Util.cancelAnimFrame(renderer._redrawRequest); // a sheet does not wait for the next frame
      renderer._redraw();
      this.layer.draw();
    }

    /* Bring a sample into view, beside the card. */
    showSelected() {
      const i = this.state.get("selected"), c = this.data.col;
      if (i < 0) return;
      const points = [[c.tlat[i], c.tlon[i]], [c.plat[i], c.plon[i]]].filter((point) => !isNaN(point[0]));
      if (!points.length) return;
      const box = L.latLngBounds(points), wide = this.map.getSize().x > 700, room = this.map.getBounds();
      const left = wide ? 500 : 30, free = this.map.containerPointToLatLng([left, 0]);
      if (room.contains(box) && box.getWest() > free.lng) return;
      this.showing = true;
      const far = points.length === 2 && Math.abs(points[0][1] - points[1][1]) > 180;
      if (far) this.map.setView(points[0], this.home, { animate: !geor1.still });
      else this.map.fitBounds(box, { maxZoom: Math.max(this.home + 1.5, Math.min(6, this.map.getZoom())), paddingTopLeft: [left, 50], paddingBottomRight: [50, 50], animate: !geor1.still });
    }

    /* ---- controls ---- */
    select(name, options, value, changed) {
      if (options.length < 2) return;
      const label = geor1.element("label"), box = geor1.element("select");
      box.name = name;
      for (const [key, text] of options) box.append(new Option(text, String(key), false, key === value));
      box.addEventListener("change", () => changed(box.value));
      label.append(geor1.element("span", "", name), box);
      byId("selects").append(label);
    }

    buildSelects() {
      const { data, state } = this, c = data.col, task = state.get("task"), focused = document.activeElement?.name;
      byId("selects").replaceChildren();
      const tasks = counted(c.task, () => true), conditions = counted(c.condition, (i) => c.task[i] === task);
      const rotations = counted(c.rotation, (i) => c.task[i] === task && c.condition[i] === state.get("condition"));
      const withCount = ([key, n], text) => [key, text + " (" + geor1.number(n) + ")"];
      this.select("task", [...tasks].sort().map((entry) => withCount(entry, TASKS[entry[0]])), task, (value) => state.set({ task: Number(value) }));
      this.select("condition", [...conditions].map((entry) => withCount(entry, data.tables.condition[entry[0]])), state.get("condition"),
        (value) => state.set({ condition: Number(value) }));
      if (rotations.size > 1)
        this.select("rotation", [...[...rotations.keys()].sort((a, b) => a - b).map((turn) => [turn, String(turn)]), [ALL, "all"]],
          state.get("rotation"), (value) => state.set({ rotation: Number(value) }));
      this.select("map", VIEWS, state.get("view"), (value) => state.set({ view: value }));
      if (state.get("view") === "countries")
        this.select("value", [...(task === 0 ? [["median", "median error"]] : []), ["accuracy", task === 0 ? "share within the threshold" : "share right"]],
          state.get("metric"), (value) => state.set({ metric: value }));
      else if (!state.get("compare") && state.get("view") !== "heat") this.select("colour", this.colours(), state.get("colour"), (value) => state.set({ colour: value }));
      if (task === 0)
        this.select("threshold", data.header.thresholds_km.map((km) => [km, geor1.number(km) + " km"]), state.get("threshold"),
          (value) => state.set({ threshold: Number(value) }));
      if (task === 0 && state.get("view") === "points" && !state.get("compare")) {
        const label = geor1.element("label"), box = geor1.element("input");
        Object.assign(box, { type: "checkbox", name: "arcs", checked: state.get("arcs") });
        box.addEventListener("change", () => state.set({ arcs: box.checked }));
        label.append(geor1.element("span", "", "arcs"), box);
        byId("selects").append(label);
      }
      if (focused) byId("selects").querySelector('[name="' + focused + '"]')?.focus();
    }

    colours() {
      const { data, state } = this, geolocation = state.get("task") === 0;
      const terms = data.header.rewards.map((name, k) => ["reward:" + k, "reward: " + name]).filter((_, k) => data.col["reward:" + k].some((value, i) => data.col.task[i] === state.get("task") && !isNaN(value)));
      return [["outcome", geolocation ? "truth and prediction" : "right or wrong"], ...(geolocation ? [["error", "error"], ["threshold", "threshold"]] : []),
        ...(data.tables.model.length > 1 ? [["model", "model"]] : []), ...terms];
    }

    setUpControls() {
      const { state, data } = this, least = byId("least"), most = byId("most"), toKm = (step) => geor1.toKm(step / 100);
      least.addEventListener("input", () => state.set({ kmMin: Number(least.value) ? toKm(Number(least.value)) : 0 }));
      most.addEventListener("input", () => state.set({ kmMax: Number(most.value) < 100 ? toKm(Number(most.value)) : Infinity }));
      byId("marks").replaceChildren(...[0, ...data.header.thresholds_km].map((km) =>
        geor1.button("", km ? "≥ " + geor1.number(km) : "all", () => state.set(km ? { kmMin: km } : { kmMin: 0, kmMax: Infinity }))));
      byId("follow").addEventListener("change", (event) => state.set({ follow: event.target.checked }));
      byId("reset").addEventListener("click", () => state.set(Object.fromEntries(Object.entries(state.defaults)
        .filter(([key]) => key.startsWith("facet:") || ["kmMin", "kmMax", "search"].includes(key)))));
      const tabs = [...byId("tabs").querySelectorAll("[role=tab]")];
      for (const tab of tabs) {
        tab.addEventListener("click", () => { this.fold(false); state.set({ tab: tab.dataset.tab }); });
        tab.addEventListener("keydown", (event) => {
          const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
          if (!step) return;
          const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
          state.set({ tab: next.dataset.tab });
          next.focus();
          event.stopPropagation();
        });
      }
      byId("fold").addEventListener("click", () => this.fold(!document.body.classList.contains("folded")));
      byId("help-open").addEventListener("click", () => this.help());
    }

    fold(folded) {
      document.body.classList.toggle("folded", folded);
      byId("fold").textContent = folded ? "▴" : "▾";
      byId("fold").ariaExpanded = String(!folded);
    }

    showTab() {
      for (const tab of byId("tabs").querySelectorAll("[role=tab]")) {
        const open = tab.dataset.tab === this.state.get("tab");
        tab.ariaSelected = String(open);
        tab.tabIndex = open ? 0 : -1;
        byId(tab.dataset.tab).hidden = !open;
      }
    }

    showLimits() {
      const low = this.state.get("kmMin"), high = this.state.get("kmMax");
      byId("error").hidden = this.state.get("task") === 1 || this.state.get("compare") !== null;
      byId("least").value = low > 0 ? 100 * geor1.toShare(low) : 0;
      byId("most").value = high < Infinity ? 100 * geor1.toShare(high) : 100;
      byId("limits").textContent = low <= 0 && high === Infinity ? "any"
        : (low > 0 ? "≥ " + geor1.kilometres(low) : "") + (low > 0 && high < Infinity ? " and " : "") + (high < Infinity ? "≤ " + geor1.kilometres(high) : "");
    }

    setUpTheme() {
      byId("theme").addEventListener("click", () => this.state.set({ theme: THEMES[(THEMES.indexOf(this.state.get("theme")) + 1) % 3] }));
      this.applyTheme();
    }

    applyTheme() {
      document.documentElement.dataset.theme = geor1.isDark(this.state.get("theme")) ? "dark" : "light";
      byId("theme").title = "Colours: " + { auto: "as the system", light: "light", dark: "dark" }[this.state.get("theme")];
      this.outlines?.setStyle((feature) => this.outlineStyle(feature));
    }

    /* ---- keys ---- */
    setUpKeys() {
      document.addEventListener("keydown", (event) => {
        const on = (selector) => Boolean(event.target.closest?.(selector));
        const typing = on("input[type=search], input[type=text], select, textarea, dialog");
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        if (event.key === "Escape") {
          const clears = on("input[type=search]") && event.target.value !== ""; // the browser empties the field
          if (!clears && !document.querySelector("dialog[open]")) this.state.set({ selected: -1 });
          return;
        }
        if (typing) return;
        const arrows = !on(".leaflet-container, table, input, [role=tab]"); // they have their own use there
        const step = { j: 1, k: -1, ...(arrows ? { ArrowDown: 1, ArrowUp: -1 } : {}) }[event.key];
        if (step) geor1.step(this.data, this.state, step);
        else if (event.key === "/") document.querySelector("#geor1-dock input[type=search]")?.focus();
        else if (event.key === "?") this.help();
        else if (event.key === "t") byId("theme").click();
        else if ("1234".includes(event.key)) this.state.set({ view: VIEWS[Number(event.key) - 1][0] });
        else return;
        event.preventDefault();
      });
    }

    help() {
      const dialog = byId("help"), list = geor1.element("dl");
      for (const [key, meaning] of KEYS) {
        const dt = geor1.element("dt");
        dt.append(geor1.element("kbd", "", key));
        list.append(dt, geor1.element("dd", "", meaning));
      }
      const close = geor1.button("", "close", () => dialog.close());
      dialog.replaceChildren(geor1.element("h2", "", "Keys"), list, geor1.element("p", "soft",
        "Arcs are great circles. Green circles are true places, blue diamonds predictions. An answer that could not be used counts against the model. "
        + "Figures follow the filters and, unless switched off, the map's window."), close);
      dialog.showModal();
    }

    /* ---- following the state ---- */
    follow(changed) {
      const has = (...keys) => keys.some((key) => changed.has(key));
      if (has("theme")) this.applyTheme();
      if (has("tab")) this.showTab();
      if (has("task", "condition", "view", "compare", "colour", "threshold", "metric", "rotation")) this.buildSelects();
      if (has("task", "kmMin", "kmMax", "compare")) this.showLimits();
      if (has("rows", "colour", "theme", "compare")) this.layer.recolour();
      if (has("rows", "colour", "theme", "compare", "view", "arcs", "threshold")) this.layer.draw();
      else if (has("selected")) this.layer.redraw();
      if (has("selected")) this.showSelected();
      byId("follow").checked = this.state.get("follow");
      for (const part of this.parts) part.update(changed);
      if (has("rows", "window", "view")) this.report();
    }

    /* Whether a filter in force looks at what was answered, so that shares and medians are not those of a model. */
    choosesByAnswers() {
      const get = (key) => this.state.get(key);
      return get("search") !== "" || get("facet:outcome").size + get("facet:status").size > 0
        || (get("task") === 0 && (get("kmMin") > 0 || get("kmMax") < Infinity));
    }

    report() {
      const { state, data, layer } = this, status = byId("status"), shown = state.shown, number = geor1.number;
      let placed = 0;
      for (const i of shown) placed += data.hasTruth(i) || data.hasGuess(i) ? 1 : 0;
      let text = state.get("compare") ? number(shown.length) + " items compared" : number(shown.length) + " of " + number(data.n) + " samples shown";
      if (shown.length > placed) text += ", " + number(shown.length - placed) + " without a position (listed only)";
      if (state.inWindow.length < shown.length) text += ", " + number(state.inWindow.length) + " in the map's window";
      status.textContent = text;
      Object.assign(status.dataset, { drawn: placed, visible: shown.length, window: state.inWindow.length, total: data.n, errors: geor1.errors.length });
      const notes = [], header = data.header;
      if (state.get("compare")) notes.push("in a comparison, filters on answers and errors rest: they would choose by one model's answers");
      else if (this.choosesByAnswers())
        notes.push("a filter chooses by the answers (error, outcome, parse failure or text): the figures are of what it leaves, not of the models");
      if (layer.arcsLeft) notes.push("arcs of the " + number(layer.drawnArcs) + " largest errors, " + number(layer.arcsLeft) + " left out");
      if (header.left_out) notes.push(number(header.left_out) + " pictures left out");
      if (header.missing) notes.push(number(header.missing) + " pictures unreadable");
      if (header.texts_left_out) notes.push(number(header.texts_left_out) + " completions left out");
      if (geor1.errors.length) notes.push("the page failed in places: " + geor1.errors[0]);
      byId("notes").textContent = notes.join("; ");
      const filtered = geor1.filtersInWords(state);
      byId("filtered").textContent = filtered && "Filters: " + filtered;
    }
  }

  function counted(column, wanted) {
    const counts = new Map();
    for (let i = 0; i < column.length; i++) if (wanted(i)) counts.set(column[i], (counts.get(column[i]) || 0) + 1);
    return counts;
  }

  /* Leaflet takes attributions as markup. */
  geor1.escaped = (text) => text.replace(/[&<>"']/g, (sign) => "&#" + sign.charCodeAt(0) + ";");
})();
