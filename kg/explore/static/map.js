"use strict";
// The map of all songs on a canvas. No library: those that draw 100,000 points compile code as they
// run, which no page of ours allows, and need WebGL, which not every browser has.
(() => {
  const box = document.getElementById("map"), canvas = box.querySelector("canvas");
  const wait = document.getElementById("wait"), tip = document.getElementById("tip");
  const legend = document.getElementById("legend"), chosen = document.getElementById("chosen");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  // Twelve that stand out from the page and from each other, also without red or green.
  const COLOURS = {
    light: ["#0072b2", "#d55e00", "#00875f", "#b5478b", "#a67500", "#111111", "#6a51a3",
            "#a50f15", "#4d7f17", "#00838f", "#7f5539", "#e0218a"],
    dark: ["#56b4e9", "#ff8c42", "#2fcb9a", "#f49ac9", "#f0c419", "#ffffff", "#b39dff",
           "#ff6b6b", "#b5e550", "#4dd0e1", "#d7a97a", "#ff5fb7"],
  };
  // Pixels within which a song is pointed at.
  const NEAR = 14, MOST_ZOOM = 400;
  const variable = name =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const pen = canvas.getContext("2d");
  let songs = null, groups = [], hidden = new Set(), kept = -1, pointed = -1, due = 0;
  // The middle of what is seen, and how far it is magnified.
  const view = {x: 0, y: 0, zoom: 1};

  const by = () => document.querySelector("input[name=by]:checked").value;
  // Of the whole map: its middle, width and height.
  const all = {x: 0, y: 0, wide: 2, high: 2};
  const pixels = () =>
    0.92 * Math.min(canvas.clientWidth / all.wide, canvas.clientHeight / all.high) * view.zoom;
  const across = x => canvas.clientWidth / 2 + (x - view.x) * pixels();
  const down = y => canvas.clientHeight / 2 - (y - view.y) * pixels();
  const colour = at =>
    at < songs.coloured ? COLOURS[dark.matches ? "dark" : "light"][at] : variable("--muted");
  const radius = () => {
    const count = songs.ids.length, room = count > 20000 ? 1.2 : count > 2000 ? 2.2 : 4;
    return Math.min(7, room * Math.sqrt(Math.sqrt(view.zoom)));
  };

  const draw = () => {
    due = 0;
    const width = canvas.clientWidth, height = canvas.clientHeight, dense = devicePixelRatio || 1;
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    pen.clearRect(0, 0, width, height);
    const scale = pixels(), left = width / 2 - view.x * scale, top = height / 2 + view.y * scale;
    const r = radius(), round = r > 1.8;
    pen.globalAlpha = round ? 0.8 : 0.75;
    // What has no colour of its own lies below what has.
    for (let at = groups.length - 1; at >= 0; at--) {
      if (hidden.has(at)) continue;
      pen.fillStyle = colour(at);
      if (round) pen.beginPath();
      for (const row of groups[at]) {
        const x = left + songs.x[row] * scale, y = top - songs.y[row] * scale;
        if (x < -r || y < -r || x > width + r || y > height + r) continue;
        if (round) {
          pen.moveTo(x + r, y);
          pen.arc(x, y, r, 0, 7);
        } else pen.fillRect(x - r, y - r, 2 * r, 2 * r);
      }
      if (round) pen.fill();
    }
    pen.globalAlpha = 1;
    box.dataset.zoom = view.zoom.toFixed(1);
    for (const [row, ring] of [[kept, r + 7], [pointed, r + 3]]) {
      if (row < 0) continue;
      for (const [ink, thick] of [[variable("--ground"), 5], [variable("--ink"), 2.5]]) {
        pen.beginPath();
        pen.arc(across(songs.x[row]), down(songs.y[row]), ring, 0, 7);
        pen.strokeStyle = ink;
        pen.lineWidth = thick;
        pen.stroke();
      }
    }
  };
  const again = () => { due ||= requestAnimationFrame(draw); };

  // The song nearest to a place on the canvas; -1: none is near.
  const nearest = (left, top, near = NEAR) => {
    let best = -1, least = near * near;
    const scale = pixels(), x = (left - canvas.clientWidth / 2) / scale + view.x;
    const y = (canvas.clientHeight / 2 - top) / scale + view.y;
    least /= scale * scale;
    groups.forEach((rows, at) => {
      if (hidden.has(at)) return;
      for (const row of rows) {
        const dx = songs.x[row] - x, dy = songs.y[row] - y, far = dx * dx + dy * dy;
        if (far < least) [least, best] = [far, row];
      }
    });
    return best;
  };
  const point = row => {
    if (row === pointed) return;
    pointed = row;
    tip.hidden = row < 0;
    canvas.style.cursor = row < 0 ? "grab" : "pointer";
    if (row >= 0) {
      const [title, ...more] = songs.text[row].split("\n");
      const name = document.createElement("b");
      name.textContent = title;
      tip.replaceChildren(name, ...more.flatMap(line => [document.createElement("br"), line]));
      const x = across(songs.x[row]), y = down(songs.y[row]);
      tip.style.left = `${Math.max(4, Math.min(x + 14, canvas.clientWidth - tip.offsetWidth - 4))}px`;
      tip.style.top = `${y + 20 + tip.offsetHeight < canvas.clientHeight ? y + 14 : y - 14 - tip.offsetHeight}px`;
    }
    again();
  };
  const keep = row => {
    kept = row;
    chosen.hidden = row < 0;
    if (row >= 0) {
      const [title, ...more] = songs.text[row].split("\n"), link = document.createElement("a");
      link.href = `/song/${songs.ids[row]}`;
      link.textContent = title;
      chosen.replaceChildren(link, ...more.map(line => ` · ${line}`));
    }
    again();
  };

  const magnify = (factor, left = canvas.clientWidth / 2, top = canvas.clientHeight / 2) => {
    const before = pixels();
    view.zoom = Math.max(1, Math.min(MOST_ZOOM, view.zoom * factor));
    // The place under the pointer stays where it is.
    const moved = 1 / before - 1 / pixels();
    view.x += (left - canvas.clientWidth / 2) * moved;
    view.y -= (top - canvas.clientHeight / 2) * moved;
    point(-1);
    again();
  };
  const shift = (right, below) => {
    view.x -= right / pixels();
    view.y += below / pixels();
    again();
  };
  const whole = () => {
    Object.assign(view, {x: all.x, y: all.y, zoom: 1});
    point(-1);
    again();
  };
  const place = event => {
    const where = canvas.getBoundingClientRect();
    return [event.clientX - where.left, event.clientY - where.top];
  };

  // One finger or the mouse moves the map, two bring it nearer.
  const held = new Map();
  let moved = 0;
  canvas.addEventListener("pointerdown", event => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, place(event));
    if (held.size === 1) moved = 0;
  });
  canvas.addEventListener("pointermove", event => {
    if (!songs) return;
    const [x, y] = place(event), old = held.get(event.pointerId);
    if (!old) {
      if (event.pointerType === "mouse") point(nearest(x, y));
      return;
    }
    if (held.size > 1) {
      const [other] = [...held].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      const apart = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]) || 1;
      // What lies between the fingers stays between them.
      shift((x - old[0]) / 2, (y - old[1]) / 2);
      magnify(apart([x, y], other) / apart(old, other), (x + other[0]) / 2, (y + other[1]) / 2);
      moved = 99;
    } else {
      moved += Math.abs(x - old[0]) + Math.abs(y - old[1]);
      if (moved > 5) {
        shift(x - old[0], y - old[1]);
        point(-1);
      }
    }
    held.set(event.pointerId, [x, y]);
  });
  const release = event => {
    if (held.delete(event.pointerId) && event.type === "pointerup" && moved <= 5 && songs) {
      const row = nearest(...place(event));
      if (row >= 0) keep(row);
      if (event.pointerType !== "mouse") point(row);
    }
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => songs && !held.size && point(-1));
  canvas.addEventListener("wheel", event => {
    event.preventDefault();
    if (songs) magnify(Math.exp(-event.deltaY / (event.deltaMode ? 12 : 400)), ...place(event));
  }, {passive: false});
  // By keys the song in the middle is the one that is pointed at.
  const middle = () => {
    const left = canvas.clientWidth / 2, top = canvas.clientHeight / 2;
    point(nearest(left, top, Math.min(left, top)));
  };
  const keys = {
    ArrowLeft: () => shift(canvas.clientWidth / 10, 0),
    ArrowRight: () => shift(-canvas.clientWidth / 10, 0),
    ArrowUp: () => shift(0, canvas.clientHeight / 10),
    ArrowDown: () => shift(0, -canvas.clientHeight / 10),
    "+": () => magnify(1.8),
    "-": () => magnify(1 / 1.8),
    0: () => whole(),
    Enter: () => pointed >= 0 && keep(pointed),
  };
  canvas.addEventListener("keydown", event => {
    if (!songs || event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
    middle();
  });
  const buttons = {nearer: () => magnify(1.8), farther: () => magnify(1 / 1.8), whole};
  for (const [id, press] of Object.entries(buttons)) {
    document.getElementById(id).addEventListener("click", () => songs && press());
  }

  const group = () => {
    groups = songs.names.map(() => []);
    songs[by()].forEach((genre, row) => groups[genre].push(row));
    const there = [...songs.names.keys()].filter(at => groups[at].length);
    legend.replaceChildren(...there.map(at => {
      const button = document.createElement("button");
      const spot = document.createElement("span"), count = document.createElement("small");
      spot.className = "spot";
      spot.style.background = colour(at);
      count.textContent = groups[at].length.toLocaleString("en");
      button.type = "button";
      button.setAttribute("aria-pressed", String(!hidden.has(at)));
      button.append(spot, songs.names[at], " ", count);
      button.addEventListener("click", event => {
        // The second click of two: this one alone, or all again.
        const alone = there.every(other => other === at || hidden.has(other));
        if (event.detail === 2) hidden = new Set(alone ? [] : there.filter(each => each !== at));
        else if (!hidden.delete(at)) hidden.add(at);
        [...legend.children].forEach((each, number) =>
          each.setAttribute("aria-pressed", String(!hidden.has(there[number]))));
        again();
      });
      return button;
    }));
    again();
  };

  const say = sentence => {
    wait.className = "missing";
    wait.textContent = sentence;
  };
  const ask = async () => {
    let answer, told;
    try {
      answer = await fetch("/map/points");
      // Who isn't let in any more is told so in words.
      told = await (answer.status === 403 ? answer.text() : answer.json());
    } catch {
      say("kg explore doesn't answer any more: is it still running?");
      return;
    }
    if (answer.status === 403) {
      say(told);
      return;
    }
    if (answer.status === 202) {
      setTimeout(ask, 500);
      return;
    }
    if (!answer.ok) {
      say(told.error);
      return;
    }
    songs = told;
    songs.x = Float32Array.from(told.x);
    songs.y = Float32Array.from(told.y);
    const ends = axis => axis.reduce(
      ([low, high], value) => [Math.min(low, value), Math.max(high, value)], [1, -1]);
    const [left, right] = ends(songs.x), [bottom, top] = ends(songs.y);
    Object.assign(all, {
      x: (left + right) / 2, y: (bottom + top) / 2,
      wide: Math.max(right - left, 0.1), high: Math.max(top - bottom, 0.1),
    });
    wait.remove();
    whole();
    group();
    canvas.setAttribute("aria-label", `A map of ${songs.ids.length} songs by sound`);
    const row = songs.ids.indexOf(box.dataset.song);
    if (row >= 0) keep(row);
    draw();
    box.dataset.drawn = songs.ids.length;
  };
  for (const input of document.querySelectorAll("input[name=by]")) {
    input.addEventListener("change", () => songs && group());
  }
  dark.addEventListener("change", () => songs && group());
  addEventListener("resize", () => songs && again());
  ask();
})();
