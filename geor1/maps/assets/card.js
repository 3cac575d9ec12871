"use strict";
/* The card of one sample. Every string from the data goes through textContent: nothing is ever parsed as markup. */
(function () {
  geor1.element = function (tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined && text !== null) node.textContent = text;
    return node;
  };
  const element = geor1.element;

  geor1.number = (value, digits) =>
    value.toLocaleString("en-GB", { maximumFractionDigits: digits === undefined ? 0 : digits });

  geor1.kilometres = function (km) {
    if (km === null || km === undefined || !isFinite(km)) return "no answer";
    return geor1.number(km, km < 10 ? 2 : km < 100 ? 1 : 0) + " km";
  };

  function position(lat, lon) {
    if (lat === null || lat === undefined) return "position unknown";
    const ns = lat < 0 ? "S" : "N", ew = lon < 0 ? "W" : "E";
    return Math.abs(lat).toFixed(3) + "° " + ns + ", " + Math.abs(lon).toFixed(3) + "° " + ew;
  }

  /* One line on how the sample came out. */
  geor1.verdict = function (row) {
    const cell = row.rotation ? " (rotation " + row.rotation + ")" : "";
    if (row.outcome === "unusable") return "unusable: " + row.status.replace(/_/g, " ") + cell;
    if (row.task === 1) return row.outcome === "right" ? row.choice + " is right" + cell
      : "chose " + row.choice + ", right " + row.answer + cell;
    return row.km === null ? "truth unknown" : geor1.kilometres(row.km) + " off";
  };

  function pictures(row, data) {
    const box = element("div", "pictures");
    for (const [role, index, caption] of row.pictures) {
      const figure = element("figure", role);
      if (index >= 0) {
        const image = element("img");
        image.src = data.thumbnails[index];
        image.alt = caption;
        figure.append(image);
      } else figure.append(element("div", "absent", "picture not embedded"));
      figure.append(element("figcaption", "", caption));
      box.append(figure);
    }
    return box;
  }

  function line(list, name, value, colour) {
    const dt = element("dt", "", name);
    if (colour) dt.style.color = colour;
    list.append(dt, element("dd", "", value));
  }

  function details(row, data) {
    const list = element("dl", "details");
    const truth = position(row.tlat, row.tlon);
    line(list, "truth", row.place ? row.place + " (" + truth + ")" : truth, data.colours.truth);
    if (row.task === 0) {
      const guess = position(row.plat, row.plon);
      line(list, "prediction", row.guessed ? row.guessed + " (" + guess + ")" : guess, data.colours.prediction);
    }
    if (row.rewards.length)
      line(list, "reward", row.rewards.map(([name, value]) => name + " " + (value === null ? "not finite" : value)).join(" · "));
    if (row.facts[1]) line(list, "facts", row.facts[0] + " of " + row.facts[1] + " stated facts are true");
    const length = (row.tokens === null ? "" : geor1.number(row.tokens) + " tokens") + (row.finished ? "" : " cut at the limit");
    if (length) line(list, "length", length);
    return list;
  }

  /* The same item as other models (or rotations) answered it. */
  function others(siblings, open) {
    const box = element("div", "others");
    for (const row of siblings.slice(0, 24)) {
      const button = element("button", "link", row.model + ": " + geor1.verdict(row));
      button.type = "button";
      button.addEventListener("click", () => open(row.index));
      box.append(button);
    }
    return box;
  }

  function pager(here, index, open) {
    const box = element("div", "pager"), at = here.indexOf(index);
    const step = (label, to) => {
      const button = element("button", "", label);
      button.type = "button";
      button.addEventListener("click", () => open(here[(to + here.length) % here.length], here));
      box.append(button);
    };
    step("‹", at - 1);
    box.append(element("span", "", at + 1 + " of " + here.length + " samples here"));
    step("›", at + 1);
    return box;
  }

  /* A DOM node for L.popup. here: indices that share the spot; siblings: rows of the same item; open(index, here). */
  geor1.card = function (row, data, here, siblings, open) {
    const card = element("article", "card " + row.outcome);
    const head = element("header");
    const dot = element("span", "dot");
    dot.style.background = row.colour;
    head.append(dot, element("strong", "", row.model), element("span", "verdict", geor1.verdict(row)));
    card.append(head);
    if (here.length > 1) card.append(pager(here, row.index, open));
    if (row.pictures.length) card.append(pictures(row, data));
    card.append(details(row, data));
    const reasoning = element("pre", "reasoning", row.text || "(empty completion)");
    reasoning.dir = "auto";
    reasoning.tabIndex = 0;
    card.append(reasoning);
    if (siblings.length) card.append(element("h4", "", "Same picture, other answers"), others(siblings, open));
    card.append(element("p", "item", row.item + (row.condition === "normal" ? "" : " · " + row.condition)));
    return card;
  };
})();
