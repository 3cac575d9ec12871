"use strict";
/* One group: its pictures, and its completions side by side with rewards, advantage, letter and text. */
(function () {
  const { element: node, figure, counted } = geor1;
  const words = (status) => status.replace(/_/g, " ");

  /* A bar from zero within [low, high]; the zero is marked where values may be negative. */
  function bar(value, low, high, className) {
    const box = node("span", "bar " + className), width = high - low || 1, known = Number.isFinite(value);
    if (known) {
      const fill = node("span", "fill"), held = Math.min(high, Math.max(low, value));
      fill.style.left = (100 * (Math.min(0, held) - low)) / width + "%";
      fill.style.width = (100 * Math.abs(held)) / width + "%";
      box.append(fill);
    }
    if (low < 0) {
      const zero = node("span", "zero");
      zero.style.left = (-100 * low) / width + "%";
      box.append(zero);
    }
    return box;
  }

  function line(table, name, value, drawn, signed, title) {
    const row = node("tr"), head = node("th", "", name), cell = node("td", "wide");
    head.scope = "row";
    if (title) row.title = title;
    cell.append(drawn);
    row.append(head, cell, node("td", "value", figure(value, signed)));
    table.append(row);
  }

  function bars(completion, limit) {
    const table = node("table", "bars");
    const sign = completion.advantage > 0 ? "up" : completion.advantage < 0 ? "down" : "level";
    line(table, "advantage", completion.advantage, bar(completion.advantage, -limit || -1, limit || 1, "advantage " + sign), true);
    for (const term of completion.rewards)
      line(table, term.name, term.value, bar(term.value, term.range[0], term.range[1], "term"), false,
        term.weight === null ? "" : "weight " + figure(term.weight));
    return table;
  }

  function chip(completion, answer) {
    if (completion.status !== "ok") return node("span", "chip unusable", words(completion.status));
    if (!answer) return node("span", "chip", completion.choice);
    const right = completion.choice === answer;
    return node("span", "chip " + (right ? "right" : "wrong"), completion.choice + (right ? " \u2713 right" : " \u2717 wrong"));
  }

  function told(completion, header) {
    if (completion.text === null) return "Text not in the page: " + counted(completion.characters, "character") + ".";
    const notes = [];
    if (completion.characters > header.text_characters)
      notes.push("first " + counted(header.text_characters, "character") + " of " + completion.characters.toLocaleString("en-GB"));
    if (completion.status === "unfinished") notes.push("cut: the answer block is not closed");
    return notes.join("; ");
  }

  /* The text as nodes: stated facts that hold and that do not, marked by line and by what a reader is told. */
  function marked(text, marks) {
    const nodes = [];
    let at = 0;
    for (const { begin, end, holds } of marks) {
      if (begin < at) continue;
      const fact = node("span", holds ? "fact holds" : "fact fails", text.slice(begin, end));
      fact.title = holds ? "true" : "not true";
      nodes.push(text.slice(at, begin), fact);
      at = end;
    }
    nodes.push(text.slice(at) || (at ? "" : "(empty completion)"));
    return nodes;
  }

  function factsOf(marks) {
    const holding = marks.filter((mark) => mark.holds).length;
    return marks.length ? holding + " of " + marks.length + " stated facts hold" : "";
  }

  function card(completion, group, data) {
    const header = data.header;
    const box = node("article", "completion"), head = node("header");
    head.append(node("strong", "", "#" + completion.number), chip(completion, group.answer),
      node("span", "total", "reward " + figure(completion.total)));
    box.append(head, bars(completion, header.advantage_limit));
    const note = [factsOf(data.marks(completion.index)), told(completion, header)].filter(Boolean).join("; ");
    if (note) box.append(node("p", "note", note));
    if (completion.text !== null) {
      const text = node("pre", "text");
      text.append(...marked(completion.text, data.marks(completion.index)));
      text.dir = "auto";
      text.tabIndex = 0;
      box.append(text);
    }
    return box;
  }

  function picture(one, data, caption, className) {
    const box = node("figure", className);
    if (one.thumb >= 0) {
      const image = node("img");
      image.src = data.picture(one.thumb);
      image.alt = caption;
      box.append(image);
    } else box.append(node("div", "absent", "not embedded"));
    box.append(node("figcaption", "", caption));
    return box;
  }

  /* The panorama, then the tiles: the right one marked, and how many of the completions chose each. */
  function pictures(group, rows, data) {
    const box = node("div", "pictures");
    for (const one of data.pictures(group.index)) {
      if (!one.tile) { box.append(picture(one, data, "ground view", "ground")); continue; }
      const votes = rows.filter((row) => row.choice === one.letter).length, right = one.letter === group.answer;
      const caption = one.letter + (right ? " \u2713 right" : "") + (votes ? " \u00b7 " + votes + " of " + rows.length : "");
      box.append(picture(one, data, caption, "tile" + (right ? " right" : votes ? " chosen" : "")));
    }
    return box;
  }

  function equation(header) {
    const terms = header.terms.map((term) => (term.weight === null ? "" : figure(term.weight) + " \u00d7 ") + term.name);
    return "reward = " + (terms.join(" + ") || "nothing") + (header.weights_known ? "" : " (weights not known: a term without one counts once)");
  }

  geor1.badges = function (group) {
    const box = node("span", "badges");
    if (group.tied) box.append(node("span", "badge tied", "tied"));
    if (group.verdict !== "mixed" && group.verdict !== "unknown")
      box.append(node("span", "badge " + group.verdict.replace(" ", "-"), group.verdict));
    return box;
  };

  /* Fill root with a group; order: of its completions; controls: nodes that stand beside the heading. */
  geor1.showRolloutGroup = function (root, data, index, order, controls) {
    if (index < 0) {
      root.replaceChildren(node("p", "note", "No group of this step is in the page."));
      return;
    }
    const group = data.group(index), rows = data.completions(index, order), right = rows.filter((row) => row.choice && row.choice === group.answer).length;
    const head = node("header", "group-head"), title = node("h2", "", group.place || group.question);
    title.append(" ", geor1.badges(group));
    const facts = ["step " + data.stepNumber(group.step), group.place ? group.question : "", group.answer ? "right: " + group.answer + ", named by " + right + " of " + rows.length : "",
      "mean reward " + figure(group.mean) + ", spread " + figure(group.spread)].filter(Boolean).join(" \u00b7 ");
    head.append(title, ...controls);
    const grid = node("div", "completions");
    grid.append(...rows.map((row) => card(row, group, data)));
    root.replaceChildren(head, node("p", "facts", facts), pictures(group, rows, data), node("p", "note", equation(data.header)), grid);
  };
})();
