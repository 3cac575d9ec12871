"use strict";
/* The rollout page: which step and group are shown, the controls, the keys, the link. */
(function () {
  const { element: node, figure, counted } = geor1;

  /* A sign alone is read out by its title; words are read out themselves. */
  function button(text, title, act, className) {
    const made = geor1.button(className || "", text, act, text.length === 1 ? title : undefined);
    made.title = title;
    return made;
  }

  const byId = (id) => document.getElementById("rollouts-" + id);
  const PLAY_MS = 900;
  const WINDOWS = [["1", "this step"], ["5", "5 steps around"], ["25", "25 steps around"], ["all", "all steps"]];
  const ORDERS = [["sampled", "as sampled"], ["high", "advantage, highest first"], ["low", "advantage, lowest first"], ["long", "longest first"]];
  const THEMES = [["auto", "as the system"], ["light", "light"], ["dark", "dark"]];
  const KEYS = [["\u2190 \u2192", "step back, step on"], ["Home End", "first step, last step"], ["\u2191 \u2193 or k j", "group before, next group"], ["p", "play or pause"],
    ["t w r", "next tied, all wrong, all right group (with Shift: the one before)"], ["s", "order of the completions"], ["?", "this list"]];

  function select(name, options, value, act) {
    const label = node("label", "", name + " "), box = node("select");
    for (const [key, text] of options) box.append(new Option(text, key, false, key === value));
    box.addEventListener("change", () => act(box.value));
    label.append(box);
    return { label, box };
  }

  function start(map, data, outlines) {
    const state = { step: 0, group: -1, order: "sampled", window: "1", theme: "auto" };
    const tests = { t: ["tied", (g) => data.col["group.tied"][g] === 1], w: ["all wrong", verdictIs("all wrong")], r: ["all right", verdictIs("all right")] };
    let timer = 0, written = "";

    function verdictIs(name) {
      const code = data.header.verdicts.indexOf(name);
      return (g) => data.col["group.verdict"][g] === code;
    }

    /* ---- what is shown ---- */
    function setStep(step, group) {
      if (!data.steps) return;
      state.step = Math.min(data.steps - 1, Math.max(0, step));
      const [first, end] = data.range(state.step);
      state.group = first === end ? -1 : Math.min(end - 1, Math.max(first, group === undefined ? first : group));
      draw();
    }

    const openGroup = (group) => setStep(data.col["group.step"][group], group);

    function move(by) {
      if (state.group >= 0) openGroup(Math.min(data.groups - 1, Math.max(0, state.group + by)));
    }

    function find(key, by) {
      const from = state.group >= 0 ? state.group : data.range(state.step)[0] - (by > 0 ? 1 : 0), found = data.next(from, by, tests[key][1]);
      if (found >= 0) openGroup(found);
    }

    function inWindow() {
      if (state.window === "all") return [0, data.groups];
      const reach = (Number(state.window) - 1) / 2;
      return [data.range(Math.max(0, state.step - reach))[0], data.range(Math.min(data.steps - 1, state.step + reach))[1]];
    }

    function entry(index) {
      const group = data.group(index), item = node("li"), open = button("", group.question, () => openGroup(index));
      const name = node("span", "what", group.place || group.question);
      open.append(name, geor1.badges(group), node("span", "value", figure(group.mean) + " \u00b1 " + figure(group.spread)));
      open.setAttribute("aria-current", String(index === state.group));
      item.append(open);
      return item;
    }

    function list() {
      const groups = data.groupsOf(state.step), { tied, untied } = data.counts(state.step), all = tied + untied;
      byId("list-title").textContent = "Step " + data.stepNumber(state.step) + ": " + counted(all, "group") + ", " + tied + " tied, " + untied + " not";
      const rows = groups.map(entry);
      if (rows.length < all) rows.push(node("li", "note", "Of this step the page keeps the counts only, to stay small."));
      byId("list").replaceChildren(...rows);
      const current = byId("list").querySelector('[aria-current="true"]');
      if (current) current.scrollIntoView({ block: "nearest" });
    }

    /* Where the texts of this step are left out: a way to the nearest step that has them. */
    function toTexts() {
      const nearest = data.col["step.texts"][state.step] ? -1 : data.nearestText(state.step);
      if (nearest < 0) return [];
      return [button("nearest step with texts: " + data.stepNumber(nearest), "An even spread of steps keeps its texts", () => setStep(nearest), "to-texts")];
    }

    function draw() {
      const number = data.stepNumber(state.step), { tied, untied } = data.counts(state.step);
      slider.value = String(state.step);
      slider.setAttribute("aria-valuetext", "step " + number);
      where.textContent = "step " + number;
      rank.textContent = state.step + 1 + " of " + counted(data.steps, "logged step");
      curves.update(number);
      list();
      const [first, end] = inWindow();
      groupMap.update(Array.from({ length: end - first }, (_, k) => first + k), state.group);
      geor1.showRolloutGroup(byId("group"), data, state.group, state.order, [...toTexts(), orders.label]);
      Object.assign(byId("status").dataset, { step: number, group: state.group, tied, untied, errors: geor1.errors.length });
      writeLink();
    }

    /* ---- link ---- */
    function writeLink() {
      const given = new URLSearchParams({ step: data.stepNumber(state.step) });
      if (state.group >= 0) given.set("group", state.group - data.range(state.step)[0] + 1);
      for (const [name, plain] of [["order", "sampled"], ["window", "1"], ["theme", "auto"]]) if (state[name] !== plain) given.set(name, state[name]);
      written = "#" + given;
      link.href = written;
      if (location.hash !== written) history.replaceState(null, "", written);
    }

    function readLink() {
      const given = new URLSearchParams(location.hash.slice(1)), has = (options, value) => options.some(([key]) => key === value);
      for (const [name, options, box] of [["order", ORDERS, orders.box], ["window", WINDOWS, windows.box], ["theme", THEMES, themes.box]])
        if (has(options, given.get(name))) state[name] = box.value = given.get(name);
      const step = given.has("step") && Number.isFinite(Number(given.get("step"))) ? data.nearest(Number(given.get("step"))) : state.step;
      const place = Number(given.get("group"));
      setStep(step, data.steps && Number.isInteger(place) && place > 0 ? data.range(step)[0] + place - 1 : undefined);
    }

    /* ---- theme ---- */
    const system = window.matchMedia("(prefers-color-scheme: dark)");
    function setTheme() {
      const dark = state.theme === "dark" || (state.theme === "auto" && system.matches);
      document.documentElement.dataset.theme = dark ? "dark" : "light";
      groupMap.restyle();
    }

    /* ---- controls ---- */
    function play() {
      if (timer) { clearInterval(timer); timer = 0; }
      else {
        if (state.step === data.steps - 1) setStep(0);
        timer = setInterval(() => { if (state.step >= data.steps - 1) play(); else setStep(state.step + 1); }, PLAY_MS);
      }
      player.textContent = timer ? "\u275a\u275a pause" : "\u25b6 play";
      player.setAttribute("aria-pressed", String(Boolean(timer)));
    }

    const slider = node("input"), where = node("strong", "where"), rank = node("span", "note"), link = node("a", "", "link to this view");
    Object.assign(slider, { type: "range", min: "0", max: String(Math.max(0, data.steps - 1)), step: "1" });
    slider.setAttribute("aria-label", "Logged step");
    slider.addEventListener("input", () => setStep(Number(slider.value)));
    const player = button("\u25b6 play", "Step through the run (p)", () => play(), "player");
    const orders = select("order", ORDERS, state.order, (value) => { state.order = value; draw(); });
    const windows = select("on the map", WINDOWS, state.window, (value) => { state.window = value; draw(); });
    const themes = select("colours", THEMES, state.theme, (value) => { state.theme = value; setTheme(); draw(); });
    for (const one of [orders, windows, themes]) one.box.autocomplete = "off";

    function buildControls() {
      const time = node("div", "time"), track = node("div", "track"), jumps = node("div", "jumps"), views = node("div", "views");
      track.append(slider, geor1.tiedStrip(data));
      time.append(player, button("\u2039", "Step back (left arrow)", () => setStep(state.step - 1)), track,
        button("\u203a", "Step on (right arrow)", () => setStep(state.step + 1)), where, rank);
      for (const [key, [name, test]] of Object.entries(tests)) {
        const count = data.count(test), jump = button("next " + name + " (" + count.toLocaleString("en-GB") + ")", "Key " + key, () => find(key, 1));
        jump.dataset.jump = key;
        jump.disabled = !count;
        jumps.append(jump);
      }
      views.append(windows.label, themes.label, link);
      byId("controls").append(time, jumps, views);
      const keys = byId("keys").querySelector("dl");
      for (const [key, text] of KEYS) keys.append(node("dt", "", key), node("dd", "", text));
    }

    function nextOrder() {
      const at = ORDERS.findIndex(([key]) => key === state.order);
      state.order = orders.box.value = ORDERS[(at + 1) % ORDERS.length][0];
      draw();
    }

    const ACTS = {
      ArrowLeft: () => setStep(state.step - 1), ArrowRight: () => setStep(state.step + 1), Home: () => setStep(0), End: () => setStep(data.steps - 1),
      ArrowUp: () => move(-1), ArrowDown: () => move(1), k: () => move(-1), j: () => move(1), p: () => play(), s: () => nextOrder(),
      "?": () => { byId("keys").open = !byId("keys").open; },
    };
    for (const key of Object.keys(tests)) Object.assign(ACTS, { [key]: () => find(key, 1), [key.toUpperCase()]: () => find(key, -1) });

    /* Keys go to the page unless a field, the map or a text that scrolls has the focus. */
    function onKey(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || !ACTS[event.key] || !data.steps) return;
      const focus = event.target;
      const own = focus.closest && focus.closest("select, input, .leaflet-container");
      const scrolls = focus.classList && focus.classList.contains("text") && /^(Arrow(Up|Down)|Home|End)$/.test(event.key);
      if ((own && event.key.length > 1) || (own && own.tagName === "SELECT") || scrolls) return;
      event.preventDefault();
      ACTS[event.key]();
    }

    /* ---- what the page says of itself ---- */
    function notes() {
      const h = data.header, said = [];
      if (h.groups < h.groups_logged) said.push(counted(h.groups_logged - h.groups, "group") + " of " + counted(h.groups_logged, "group") + " left out, evenly spread over the steps; their tied and untied counts are kept");
      if (h.texts_left_out) said.push(counted(h.texts_left_out, "text") + " left out: " + h.steps_with_texts + " evenly spread steps keep theirs");
      if (h.left_out) said.push(counted(h.left_out, "picture") + " left out");
      if (h.missing) said.push(counted(h.missing, "picture") + " unreadable");
      if (h.torn_lines) said.push("the last line of the file was cut, and is left out");
      if (h.torn_completions) said.push(counted(h.torn_completions, "completion") + " of an unfinished last group left out");
      return said;
    }

    byId("title").textContent = document.title = data.header.title;
    byId("notes").append(...notes().map((text) => node("p", "note", text + ".")));
    const jump = (number) => { if (data.steps) setStep(data.nearest(number)); };
    const curves = geor1.makeRolloutCurves(byId("curves").querySelector("div"), data, jump);
    const groupMap = geor1.makeRolloutMap(map, data, outlines, byId("map"), byId("slot"), openGroup);
    buildControls();
    const status = byId("status");
    status.textContent = counted(data.header.groups_logged, "group") + " of " + counted(data.size, "completion") + " at " + counted(data.steps, "logged step");
    if (data.steps) readLink();
    else {
      byId("list-title").textContent = "No rollouts";
      geor1.showRolloutGroup(byId("group"), data, -1, "sampled", []);
      for (const control of byId("controls").querySelectorAll(".time button, .time input")) control.disabled = true;
    }
    setTheme();
    system.addEventListener("change", setTheme);
    window.matchMedia("print").addEventListener("change", () => groupMap.restyle());
    window.addEventListener("hashchange", () => { if (location.hash !== written && data.steps) { readLink(); setTheme(); } });
    document.addEventListener("keydown", onKey);
    Object.assign(status.dataset, { steps: data.steps, groups: data.groups, errors: geor1.errors.length, ready: "true" });
  }

  geor1.startRollouts = async function (map) {
    try {
      const outlines = JSON.parse(document.getElementById("geor1-outlines").textContent);
      start(map, await geor1.RolloutData.load(), outlines);
    } catch (error) {
      byId("status").textContent = "This page could not be read: " + error.message;
      throw error; // the console has the place
    }
  };
})();
