"use strict";
/* The groups of some steps at their places: one circle a group, colour by how its completions came out, hollow if tied. */
(function () {
  const MOST = 400; // circles at once
  const { element: node, counted } = geor1;
  const MEANING = { mixed: "prediction", "all right": "right", "all wrong": "wrong", unknown: "unusable" };

  const property = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function outline(map, outlines, renderer) {
    const land = outlines.features.some((feature) => feature.properties.kind === "land");
    return L.geoJSON(outlines, { renderer, interactive: false, pointToLayer: () => null,
      style: (feature) => ({ color: property("--border"), weight: 0.6, stroke: !land || feature.properties.kind !== "land",
        fill: !land || feature.properties.kind === "land", fillColor: property("--land"), fillOpacity: 1 }) }).addTo(map);
  }

  function legend(root, header) {
    const entry = (className, text) => {
      const item = node("span", "entry");
      item.append(node("span", "spot " + className), text);
      return item;
    };
    root.replaceChildren(entry("mixed", "mixed"), entry("all-right", "all right"), entry("all-wrong", "all wrong"), entry("hollow", "hollow: tied"));
    if (header.verdicts.includes("unknown")) root.title = "Grey where the right letter is not known";
  }

  /* root: the map's section, slot: where the map's element goes; open(group): called for a circle clicked on. */
  geor1.makeRolloutMap = function (map, data, outlines, root, slot, open) {
    let known = 0;
    for (let g = 0; g < data.groups; g++) known += data.hasPosition(g) ? 1 : 0;
    if (!known) {
      map.getContainer().remove();
      slot.remove();
      root.replaceChildren(node("p", "note", "No map: " + (data.header.questions_known ? "no question of these rollouts has a known position."
        : "the page was made without the questions of the run of 01, which know the places.")));
      return { update() {}, restyle() {} };
    }
    slot.append(map.getContainer());
    map.zoomControl.setPosition("bottomleft");
    map.attributionControl.setPrefix("Leaflet").addAttribution("Made with Natural Earth");
    map.createPane("outlines").style.zIndex = 250;
    const below = L.canvas({ pane: "outlines", padding: 0.3 }), above = L.canvas({ padding: 0.3 });
    const shapes = outline(map, outlines, below), circles = L.layerGroup().addTo(map), world = [[-58, -180], [80, 180]];
    legend(document.getElementById("rollouts-legend"), data.header);
    const fit = () => { map.invalidateSize({ animate: false }); map.setMinZoom(0); map.fitBounds(world, { animate: false, padding: [2, 2] }); };
    fit();
    let width = slot.clientWidth;
    new ResizeObserver(() => { if (slot.clientWidth !== width && !matchMedia("print").matches) { width = slot.clientWidth; fit(); } }).observe(slot);
    let last = [[], -1];
    const said = node("p", "note");
    root.append(said);

    function circle(index, chosen) {
      const group = data.group(index), colour = data.header.colours[MEANING[group.verdict]];
      const mark = L.circleMarker([group.lat, group.lon], { renderer: above, radius: chosen ? 8 : 5, color: chosen ? property("--ink") : colour,
        weight: chosen ? 3 : 2, fillColor: colour, fillOpacity: group.tied ? 0.05 : 0.85 });
      const label = node("span", "", "step " + data.stepNumber(group.step) + ": " + (group.place || group.question) + ", " + group.verdict + (group.tied ? ", tied" : ""));
      mark.bindTooltip(label).on("click", () => open(index));
      return mark.addTo(circles);
    }

    return {
      /* Show these groups, the chosen one on top; says how many have no place or no room. */
      update(groups, chosen) {
        last = [groups, chosen];
        const placed = groups.filter((g) => data.hasPosition(g)), stride = Math.max(1, placed.length / MOST);
        const shown = Array.from({ length: Math.min(MOST, placed.length) }, (_, k) => placed[Math.floor(k * stride)]); // evenly spread
        circles.clearLayers();
        for (const g of shown) if (g !== chosen) circle(g, false);
        if (chosen >= 0 && data.hasPosition(chosen)) circle(chosen, true);
        const notes = [counted(shown.length, "group") + " on the map"];
        if (placed.length > MOST) notes[0] = counted(MOST, "group") + " of " + placed.length.toLocaleString("en-GB") + ", evenly spread";
        if (placed.length < groups.length) notes.push(groups.length - placed.length + " without a known place");
        said.textContent = notes.join("; ");
        root.dataset.drawn = shown.length;
      },
      restyle() {
        shapes.setStyle(shapes.options.style);
        this.update(...last);
        for (const canvas of [below, above]) { // at once: a sheet of paper does not wait for the next frame
          L.Util.cancelAnimFrame(canvas._redrawRequest);
          canvas._redraw();
        }
      },
    };
  };
})();
