"use strict";
/* The state as the address's fragment: what differs from the page's default, by names, so that a link outlives a run. */
(function () {
  const PAUSE_MS = 250, LONGEST_SEARCH = 200, SHOWN_NOTES = 3, SHOWN_CHARACTERS = 60;
  const TASKS = ["geolocation", "pairing"];
  const OPTIONS = {
    view: ["points", "clusters", "heat", "countries"], metric: ["median", "accuracy"], tab: ["table", "charts", "compare"],
    theme: ["auto", "light", "dark"],
  };
  const round = (value, digits) => Number(value.toPrecision(digits));
  const sameSet = (a, b) => a.size === b.size && [...a].every((value) => b.has(value));

  /* An address cannot carry half a surrogate pair: names are compared as they come out of one. */
  const wellFormed = (text) => text.replace(/\p{Surrogate}/gu, "\ufffd");

  /* "reward:<k>" goes by the term's name. */
  const termName = (data, key) => key.startsWith("reward:") ? "reward:" + data.header.rewards[Number(key.slice(7))] : key;
  function termKey(data, text) {
    if (!text.startsWith("reward:")) return text;
    const k = data.header.rewards.map(wellFormed).indexOf(text.slice(7));
    return k < 0 ? null : "reward:" + k;
  }

  /* A frame's own address (about:srcdoc, data:, blob:) leads nowhere elsewhere: there the fragment alone is offered. */
  const ownAddress = () => /^(file|https?):/.test(location.href);

  class Refused extends Error {}
  function refuse(what, name) {
    const short = name.length > SHOWN_CHARACTERS ? name.slice(0, SHOWN_CHARACTERS) + "…" : name;
    throw new Refused(what + " “" + short + "”");
  }

  function oneOf(options, what, text) {
    if (!options.includes(text)) refuse(what, text);
    return text;
  }

  function indexIn(names, what, text) {
    const k = names.map(wellFormed).indexOf(text);
    if (k < 0) refuse(what, text);
    return k;
  }

  function numberOf(what, text, least, most) {
    const value = Number(text);
    if (text.trim() === "" || !(value >= least && value <= most)) refuse(what, text);
    return value;
  }

  /* One entry a key of the state: how a value that is not the default is written, and read back (or refused). */
  function codecs(data, state) {
    const { tables, header } = data, list = [];
    const add = (key, param, write, read) => list.push({ key, param, write: (value) => [].concat(write(value)), read });
    const flag = (key) => add(key, key, (value) => (value ? "yes" : "no"), ([text]) => oneOf(["yes", "no"], key, text) === "yes");
    add("task", "task", (value) => TASKS[value], ([text]) => {
      const task = indexIn(TASKS, "task", text);
      return data.col.task.includes(task) ? task : refuse("task", text);
    });
    add("condition", "condition", (value) => tables.condition[value], ([text]) => indexIn(tables.condition, "condition", text));
    add("rotation", "rotation", (value) => (value < 0 ? "all" : String(value)),
      ([text]) => (text === "all" ? -1 : Math.floor(numberOf("rotation", text, 0, 255))));
    add("kmMin", "km_min", (value) => String(round(value, 6)), ([text]) => numberOf("km_min", text, 0, 21000));
    add("kmMax", "km_max", (value) => String(round(value, 6)), ([text]) => numberOf("km_max", text, 0, 21000));
    add("search", "search", (value) => value, ([text]) => text.length <= LONGEST_SEARCH ? text : refuse("search", text));
    for (const [key, options] of Object.entries(OPTIONS)) add(key, key, (value) => value, ([text]) => oneOf(options, key, text));
    add("colour", "colour", (value) => termName(data, value), ([text]) => {
      const key = termKey(data, text);
      return key !== null && key !== text ? key : oneOf(["outcome", "error", "threshold", "model"], "colour", text);
    });
    add("sort", "sort", (value) => termName(data, value), ([text]) => {
      const key = termKey(data, text);
      return key !== null && geor1.sortable(data, key) ? key : refuse("sort", text);
    });
    for (const key of ["arcs", "follow", "descending"]) flag(key);
    add("threshold", "threshold_km", String, ([text]) => Number(oneOf(header.thresholds_km.map(String), "threshold_km", text)));
    add("compare", "compare", (value) => value.map((model) => tables.model[model]), (texts) => {
      const pair = texts.map((text) => indexIn(tables.model, "model", text));
      return pair.length === 2 && pair[0] !== pair[1] ? pair : refuse("compare", texts.join(" and "));
    });
    const used = new Set();
    for (const facet of state.facets) {
      let name = facet.name.startsWith("slice:") ? "slice:" + wellFormed(facet.label) : facet.name;
      while (used.has(name)) name += "'"; // two slices may share a name
      used.add(name);
      list.push({ key: "facet:" + facet.name, param: name, facet });
    }
    return list;
  }

  /* The shorter of what is left out and what is kept. All left out can only be said by the former. */
  function writeFacet({ param, facet }, excluded, params) {
    const kept = [...facet.values.keys()].filter((k) => !excluded.has(k));
    const short = kept.length > 0 && kept.length < excluded.size;
    for (const k of short ? kept : [...excluded].sort((a, b) => a - b)) params.append((short ? "only." : "not.") + param, facet.values[k]);
  }

  function readFacet({ param, facet }, params, notes) {
    const values = facet.values.map(wellFormed);
    const known = (names) => names.flatMap((name) => {
      if (values.includes(name)) return [values.indexOf(name)];
      tell(notes, param, name);
      return [];
    });
    const only = params.getAll("only." + param), kept = known(only), excluded = new Set(known(params.getAll("not." + param)));
    if (kept.length) for (const k of facet.values.keys()) if (!kept.includes(k)) excluded.add(k); // none of them known: no limit
    return excluded;
  }

  function tell(notes, what, name) {
    try { refuse(what, name); } catch (error) { notes.push(error.message); }
  }

  function rowOf(data, task, [model, condition, rotation, sample, item]) {
    const { col, tables } = data, code = (name, text) => tables[name].map(wellFormed).indexOf(text);
    const m = code("model", model), c = code("condition", condition);
    for (let i = 0; i < data.n; i++)
      if (col.task[i] === task && col.model[i] === m && col.condition[i] === c && String(col.rotation[i]) === rotation
        && String(col.sample[i]) === sample && wellFormed(data.item(i)) === item) return i;
    return -1;
  }

  class Link {
    constructor(root, data, state, map) {
      Object.assign(this, { root, data, state, map, codecs: codecs(data, state), notes: [], refused: false });
      const bar = geor1.element("div", "link-bar");
      bar.append(geor1.button("", "Copy link", () => this.copy(), "Copy a link to this view: filters, map and open card"));
      this.note = geor1.element("output", "link-note");
      this.note.setAttribute("role", "status");
      this.field = geor1.element("input", "link-field");
      Object.assign(this.field, { type: "text", readOnly: true, hidden: true });
      this.field.setAttribute("aria-label", "Link to this view");
      this.field.addEventListener("focus", () => this.field.select());
      root.append(bar, this.note, this.field);
      this.home = map ? this.view() : "";
      this.read(location.hash);
      if (map) {
        map.on("moveend", () => this.later());
        if (this.view() !== this.home) setTimeout(() => map.fire("moveend"), 0); // once the page's parts listen to it
      }
      window.addEventListener("hashchange", () => this.onHash());
    }

    update() { this.later(); }

    view() {
      const { lat, lng } = this.map.getCenter();
      return [lat.toFixed(4), lng.toFixed(4), this.map.getZoom().toFixed(2)].join(",");
    }

    /* The page's own start, or that of the other task. */
    base(task) {
      const { defaults } = this.state;
      return task === defaults.task ? defaults : { ...defaults, ...this.state.entry(task) };
    }

    /* ---- state to text ---- */
    fragment() {
      const params = new URLSearchParams(), base = { ...this.base(this.state.get("task")), task: this.state.defaults.task };
      for (const codec of this.codecs) {
        const value = this.state.get(codec.key), usual = base[codec.key];
        if (codec.facet) { if (!sameSet(value, usual)) writeFacet(codec, value, params); }
        else if (String(value) !== String(usual)) for (const text of codec.write(value)) params.append(codec.param, text);
      }
      const i = this.state.get("selected"), { col, tables } = this.data;
      const named = (row) => [tables.model[col.model[row]], tables.condition[col.condition[row]], col.rotation[row], col.sample[row], this.data.item(row)];
      if (i >= 0) for (const part of named(i)) params.append("row", String(part));
      if (this.map && this.state.window) params.append("at", this.view()); // none while the whole world is in view
      return params.toString();
    }

    later() {
      clearTimeout(this.pause);
      this.pause = setTimeout(() => this.write(), PAUSE_MS);
    }

    write() {
      clearTimeout(this.pause);
      this.pause = 0;
      const address = this.address();
      if (address !== location.href && !this.refused) {
        try {
          history.replaceState(null, "", address);
        } catch (error) {
          this.refused = true;
          this.say("This frame does not let the page change its address (" + error.name + "); the link stands in the field.");
        }
      }
      if (!this.field.hidden || this.refused) this.offer();
    }

    address() {
      const fragment = this.fragment(), here = location.href.split("#")[0];
      return fragment ? here + "#" + fragment : here;
    }

    offer() {
      this.field.value = ownAddress() ? this.address() : "#" + this.fragment();
      this.field.hidden = false;
    }

    async copy() {
      this.write();
      try {
        if (this.refused || !navigator.clipboard) throw new Error("no clipboard");
        await navigator.clipboard.writeText(this.address());
        this.say("Link copied.");
      } catch (error) {
        this.offer();
        this.field.focus();
        this.field.select();
        this.say("The clipboard cannot be used here: copy the link from the field."
          + (ownAddress() ? "" : " Put it behind the page's own address."));
      }
    }

    say(text) { this.note.textContent = [text, ...this.notes].filter(Boolean).join(" "); }

    /* ---- text to state ---- */
    onHash() {
      if (location.href === this.address()) return;
      if (location.hash && !location.hash.includes("=")) { this.later(); return; } // a jump to a part of the page
      this.read(location.hash);
    }

    read(hash) {
      const params = new URLSearchParams(hash.includes("=") ? hash.slice(1) : ""), notes = [], patch = {};
      const known = new Set(["row", "at"]);
      const task = TASKS.indexOf(params.get("task"));
      const base = this.base(this.data.col.task.includes(task) ? task : this.state.defaults.task);
      for (const codec of this.codecs) {
        patch[codec.key] = base[codec.key];
        if (codec.facet) {
          known.add("only." + codec.param).add("not." + codec.param);
          patch[codec.key] = readFacet(codec, params, notes);
          continue;
        }
        known.add(codec.param);
        if (!params.has(codec.param)) continue;
        try {
          patch[codec.key] = codec.read(params.getAll(codec.param));
        } catch (error) {
          if (!(error instanceof Refused)) throw error;
          notes.push(error.message);
        }
      }
      for (const name of new Set(params.keys())) if (!known.has(name)) tell(notes, "setting", name);
      patch.selected = -1;
      if (params.has("row")) {
        patch.selected = rowOf(this.data, patch.task, params.getAll("row"));
        if (patch.selected < 0) tell(notes, "sample", params.getAll("row").join(" · "));
      }
      this.state.set(patch);
      if (this.map) this.moveTo(params.get("at"), notes);
      const more = notes.length - SHOWN_NOTES;
      this.notes = notes.length ? ["The link names what this page does not have, which is left out: " + notes.slice(0, SHOWN_NOTES).join(", ")
        + (more > 0 ? " and " + geor1.number(more) + " more" : "") + "."] : [];
      this.say("");
    }

    moveTo(text, notes) {
      const [lat, lon, zoom, ...rest] = (text ?? this.home).split(",").map(Number);
      if (rest.length || !(Math.abs(lat) <= 90 && Math.abs(lon) <= 360 && zoom >= 0 && zoom <= 30)) tell(notes, "map view", text);
      else if ((text ?? this.home) !== this.view()) this.map.setView([lat, lon], zoom, { animate: false });
    }
  }

  geor1.makeLink = (root, data, state, map) => new Link(root, data, state, map);
})();
