"use strict";
/* The card of the selected sample. Every string from the data goes through textContent: nothing is parsed as markup. */
(function () {
  const MOST_SIBLINGS = 12;

  function dot(colour) {
    const node = geor1.element("span", "card-dot");
    node.style.setProperty("--model", colour);
    return node;
  }

  class Card {
    constructor(root, data, state) {
      Object.assign(this, { root, data, state, shown: -1, pictures: [] });
      const element = geor1.element;
      root.classList.add("card-root");
      root.setAttribute("role", "region");
      root.setAttribute("aria-label", "Selected sample");
      this.head = element("header", "card-head");
      this.head.setAttribute("aria-live", "polite");
      const bar = element("div", "card-bar");
      this.previous = geor1.button("card-step", "‹", () => geor1.step(data, state, -1), "Previous sample (k)");
      this.next = geor1.button("card-step", "›", () => geor1.step(data, state, 1), "Next sample (j)");
      this.position = element("span", "card-position");
      bar.append(this.previous, this.position, this.next,
        geor1.button("card-close", "×", () => state.set({ selected: -1 }), "Close the card (Escape)"));
      this.body = element("div", "card-body");
      this.body.tabIndex = 0;
      this.body.setAttribute("role", "group");
      this.body.setAttribute("aria-label", "Pictures, answer and reasoning");
      root.append(bar, this.head, this.body, this.buildDialog());
      root.hidden = true;
      const span = { low: 0, high: 1 }; // of every reward term, so that bars compare between samples
      for (let k = 0; k < data.header.rewards.length; k++)
        for (const value of data.col["reward:" + k])
          if (Number.isFinite(value)) { span.low = Math.min(span.low, value); span.high = Math.max(span.high, value); }
      this.span = span;
    }

    update(changed) {
      const i = this.state.get("selected");
      if (i !== this.shown) this.open(i);
      else if (i < 0 || !["rows", "window", "sort", "descending"].some((key) => changed.has(key))) return;
      if (i >= 0) this.place(i);
    }

    /* ---- where the sample stands in the table ---- */
    place(i) {
      const order = geor1.tableOrder(this.data, this.state), at = order.indexOf(i);
      this.position.textContent = at >= 0 ? geor1.number(at + 1) + " of " + geor1.number(order.length)
        : "not among the " + geor1.number(order.length) + " listed";
      this.previous.disabled = this.next.disabled = !order.length;
    }

    open(i) {
      this.shown = i;
      this.root.hidden = i < 0;
      if (this.dialog.open) this.dialog.close();
      if (i < 0) { this.body.replaceChildren(); this.head.replaceChildren(); return; }
      const row = this.data.row(i);
      this.head.replaceChildren(...this.title(row));
      const parts = [this.tiles(row), this.failure(row), this.details(row), this.rewards(row), this.completion(row), this.others(row)];
      this.body.replaceChildren(...parts.filter((part) => part !== null));
      this.body.scrollTop = 0;
    }

    title(row) {
      const model = geor1.element("strong", "card-model"), item = geor1.element("p", "card-item");
      model.append(dot(row.colour), geor1.element("bdi", "", row.model));
      item.append(geor1.element("bdi", "", row.item));
      if (row.condition !== "normal") item.append(" · ", geor1.element("bdi", "", row.condition));
      if (row.rotation) item.append(" · rotation " + row.rotation);
      if (row.sample) item.append(" · sample " + row.sample);
      return [model, geor1.element("span", "card-verdict " + row.outcome, geor1.outcomeWords(this.data, row.index)), item];
    }

    /* ---- pictures ---- */
    tiles(row) {
      const box = geor1.element("div", "card-pictures"), tiles = geor1.element("div", "card-tiles");
      const given = this.data.pictures(row.index);
      if (!given.length) return null;
      this.pictures = [];
      for (const { role, letter, thumb } of given) {
        const tile = role === "tile", right = tile && letter === row.answer, chosen = tile && letter === row.choice;
        const marks = [right && "right", chosen && "chosen"].filter(Boolean);
        const words = tile ? ["tile " + letter, ...marks].join(", ") : "ground view";
        const figure = geor1.element("figure", ["card-figure", role, ...marks].join(" "));
        if (thumb >= 0) {
          const image = geor1.element("img"), at = this.pictures.length;
          image.src = this.data.picture(thumb);
          image.alt = words;
          this.pictures.push({ source: image.src, words });
          const open = geor1.button("card-enlarge", null, () => this.enlarge(at), "Enlarge: " + words);
          open.append(image);
          figure.append(open);
        } else figure.append(geor1.element("div", "card-absent", "not embedded"));
        if (role === "tile") {
          const caption = geor1.element("figcaption", "");
          caption.append(geor1.element("b", "", letter));
          if (right) caption.append(geor1.element("span", "card-right", " ✓ right"));
          if (chosen) caption.append(geor1.element("span", right ? "card-right" : "card-chosen", right ? ", chosen" : " ✗ chosen"));
          figure.append(caption);
        }
        (role === "tile" ? tiles : box).append(figure);
      }
      if (tiles.childElementCount) box.append(tiles);
      return box;
    }

    buildDialog() {
      this.dialog = geor1.element("dialog", "card-dialog");
      this.large = geor1.element("img");
      this.caption = geor1.element("p");
      this.dialog.append(this.large, this.caption, geor1.button("card-close", "×", () => this.dialog.close(), "Close the picture (Escape)"));
      this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
      this.dialog.addEventListener("keydown", (event) => {
        event.stopPropagation(); // Escape closes the picture, not the card; the arrows turn pictures, not samples
        if (event.key === "Escape") { event.preventDefault(); this.dialog.close(); }
        const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (by) this.enlarge((this.enlarged + by + this.pictures.length) % this.pictures.length);
      });
      return this.dialog;
    }

    enlarge(at) {
      const { source, words } = this.pictures[at];
      this.enlarged = at;
      this.large.src = source;
      this.large.alt = words;
      this.caption.textContent = words + (this.pictures.length > 1 ? " (" + (at + 1) + " of " + this.pictures.length + ", ← →)" : "");
      if (!this.dialog.open) this.dialog.showModal();
    }

    /* ---- what was asked and answered ---- */
    failure(row) {
      if (row.outcome !== "unusable") return null;
      const box = geor1.element("p", "card-failure", "Unusable: " + geor1.reason(row.status) + ". ");
      box.append(geor1.element("span", "card-soft", "It counts as wrong, at an infinite distance. "), geor1.element("code", "", row.status));
      return box;
    }

    details(row) {
      const list = geor1.element("dl", "card-details");
      const line = (name, kind, place, where) => {
        const value = geor1.element("dd");
        if (place) value.append(geor1.element("bdi", "", place), " ");
        value.append(geor1.element("span", place ? "card-soft" : "", where));
        list.append(geor1.element("dt", kind, name), value);
      };
      line("truth", "card-truth", row.place, geor1.position(row.tlat, row.tlon));
      if (row.task === 0) {
        line("answer", "card-prediction", row.guessed, row.plat === null ? "no position" : geor1.position(row.plat, row.plon));
        line("distance", "", "", row.km === null ? "unknown" : geor1.kilometres(row.km));
      } else line("answer", "", "", "chose " + (row.choice || "nothing") + ", right is " + (row.answer || "unknown"));
      const length = row.tokens === null ? "" : geor1.number(row.tokens) + (row.tokens === 1 ? " token" : " tokens");
      const cut = row.finished ? "" : "cut at the limit";
      if (length || cut) line("length", "", "", [length, cut].filter(Boolean).join(", "));
      return list;
    }

    rewards(row) {
      const terms = this.data.rewards(row.index);
      if (!terms.length) return null;
      const table = geor1.element("table", "card-rewards"), { low, high } = this.span, width = high - low;
      table.append(geor1.element("caption", "", "Rewards"));
      const add = (name, value, bar) => {
        const line = geor1.element("tr"), head = geor1.element("th"), track = geor1.element("td", "card-track");
        head.scope = "row";
        head.append(geor1.element("bdi", "", name));
        if (bar) {
          const fill = geor1.element("div", "card-fill " + (value < 0 ? "negative" : ""));
          fill.style.marginLeft = 100 * (Math.min(0, value) - low) / width + "%";
          fill.style.width = 100 * Math.abs(value) / width + "%";
          track.append(fill);
        }
        line.append(head, track, geor1.element("td", "card-value", geor1.number(value, 3)));
        table.append(line);
      };
      for (const { name, value } of terms) add(name, value, true);
      if (terms.length > 1) add("sum", terms.reduce((sum, { value }) => sum + value, 0), false);
      return table;
    }

    completion(row) {
      const box = geor1.element("section", "card-completion"), marks = geor1.orderedMarks(this.data.marks(row.index), row.text.length);
      if (row.factsStated) {
        const facts = row.factsStated === 1 ? " stated fact is true" : " stated facts are true";
        const line = geor1.element("p", "card-facts", row.factsTrue + " of " + row.factsStated + facts);
        if (marks.length) line.append(" ", geor1.element("mark", "fact true", "true"), " ", geor1.element("mark", "fact false", "false"));
        else line.append(geor1.element("span", "card-soft", " (not marked in the text)"));
        box.append(line);
      }
      if (!row.text) { box.append(geor1.element("p", "card-soft", "Empty completion: the model generated nothing.")); return box; }
      const text = geor1.element("div", "card-text");
      text.tabIndex = 0;
      text.setAttribute("role", "group");
      text.setAttribute("aria-label", "Completion as generated");
      for (const part of geor1.parts(row.text)) {
        if (part.kind === "plain" && !row.text.slice(part.begin, part.end).trim()) continue;
        if (part.kind !== "plain") text.append(geor1.element("div", "card-label", part.kind === "think" ? "reasoning" : "answer"));
        text.append(geor1.partElement(row.text, part, marks));
      }
      box.append(text);
      return box;
    }

    /* ---- the same item as other models, rotations or samples answered it ---- */
    others(row) {
      const all = this.data.siblings(row.index);
      if (!all.length) return null;
      const box = geor1.element("section", "card-others"), list = geor1.element("ul");
      box.append(geor1.element("h3", "", "Same item, other answers (" + geor1.number(all.length) + ")"), list);
      const add = (indices) => list.append(...Array.from(indices, (i) => this.sibling(i, row)));
      add(all.slice(0, MOST_SIBLINGS));
      if (all.length > MOST_SIBLINGS) {
        const more = geor1.button("card-more", "show " + geor1.number(all.length - MOST_SIBLINGS) + " more", () => {
          more.remove();
          add(all.slice(MOST_SIBLINGS));
        });
        box.append(more);
      }
      return box;
    }

    sibling(i, { rotation, sample }) {
      const { col, tables } = this.data, entry = geor1.element("li");
      const node = geor1.button("card-sibling", null, () => this.state.set({ selected: i }));
      const turn = col.rotation[i], draw = col.sample[i];
      const cell = [turn !== rotation && "rotation " + turn, draw !== sample && "sample " + draw];
      node.append(dot(this.data.colour(i)), geor1.element("bdi", "", tables.model[col.model[i]]),
        geor1.element("span", "card-soft", cell.filter(Boolean).map((part) => " · " + part).join("")),
        geor1.element("span", "card-verdict " + this.data.outcome(i), geor1.outcomeWords(this.data, i)));
      entry.append(node);
      return entry;
    }
  }

  geor1.makeCard = (root, data, state) => new Card(root, data, state);
})();
