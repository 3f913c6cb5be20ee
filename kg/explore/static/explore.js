"use strict";
// What pages do beyond links and forms, which all work without it.
(() => {
  const GONE = "kg explore doesn't answer any more: is it still running?";
  const say = (place, sentence) => {
    const told = document.createElement("p");
    told.className = "missing";
    told.textContent = sentence;
    place.replaceChildren(told);
  };
  // A part of a page; what isn't one is a refusal.
  const fill = async (place, answer) => {
    const text = await answer.text();
    if (answer.headers.get("content-type").startsWith("text/html")) place.innerHTML = text;
    else say(place, text);
  };

  // What changes something is sent once, however often a key is pressed.
  let sent = false;
  document.addEventListener("submit", event => {
    if (event.target.method !== "post") return;
    if (sent) event.preventDefault();
    sent = true;
  });
  addEventListener("pageshow", event => event.persisted && location.reload());
  // A notice is for once.
  const here = new URL(location.href);
  if (here.searchParams.has("said")) {
    here.searchParams.delete("said");
    history.replaceState(null, "", here);
  }

  // Songs as one types.
  const words = document.getElementById("q"), found = document.getElementById("found");
  if (words && found) {
    let waiting = 0, asking = null;
    words.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(async () => {
        asking?.abort();
        asking = new AbortController();
        const query = new URLSearchParams(new FormData(words.form));
        history.replaceState(null, "", `/?${query}`);
        for (const link of document.querySelectorAll(".genres a")) {
          const to = new URL(link.href);
          to.searchParams.set("q", words.value);
          link.href = to;
        }
        query.set("part", "1");
        try {
          await fill(found, await fetch(`/?${query}`, {signal: asking.signal}));
        } catch (error) {
          if (error.name !== "AbortError") say(found, GONE);
        }
      }, 200);
    });
  }

  // Parts that take longer than their page.
  const load = async part => {
    const wait = document.createElement("p");
    wait.className = "wait";
    wait.textContent = part.dataset.wait;
    part.replaceChildren(wait);
    try {
      await fill(part, await fetch(part.dataset.part));
    } catch {
      say(part, GONE);
    }
  };
  for (const part of document.querySelectorAll("[data-part]")) {
    if ("now" in part.dataset) load(part);
    else part.querySelector("[data-load]").addEventListener("click", () => load(part));
  }

  // Where the song is in its spectrogram; a click goes there.
  for (const box of document.querySelectorAll("[data-sound]")) {
    const audio = box.querySelector("audio"), image = box.querySelector("img");
    const at = document.createElement("span");
    at.className = "at";
    at.hidden = true;
    image.parentElement.append(at);
    const seconds = Number(box.dataset.seconds);
    // The part by itself begins where it begins in the song.
    const start = () => audio.currentSrc.endsWith("/audio") ? Number(box.dataset.start) : 0;
    const place = () => {
      const share = (audio.currentTime - start()) / seconds;
      at.hidden = !(share >= 0 && share <= 1);
      at.style.left = `${100 * share}%`;
    };
    audio.addEventListener("timeupdate", place);
    audio.addEventListener("seeked", place);
    image.addEventListener("click", event => {
      const whole = image.getBoundingClientRect();
      audio.currentTime = start() + seconds * (event.clientX - whole.left) / whole.width;
      audio.play();
    });
    image.addEventListener("error", () => say(
      image.closest("figure"), "The file can't be listened to any more: it is damaged, or changed."));
  }

  // A file that no browser plays is heard as kg heard it.
  for (const audio of document.querySelectorAll("audio[data-otherwise]")) {
    audio.addEventListener("error", () => {
      const other = audio.dataset.otherwise;
      if (audio.getAttribute("src") === other) return;
      audio.src = other;
      audio.play();
    });
  }
  // One song at a time.
  document.addEventListener("play", event => {
    for (const other of document.querySelectorAll("audio")) {
      if (other !== event.target) other.pause();
    }
  }, true);

  // Keys of the review.
  const cards = [...document.querySelectorAll("[data-card]")];
  if (cards.length) {
    let on = 0;
    const mark = (number, scroll) => {
      cards[on].removeAttribute("data-on");
      on = Math.max(0, Math.min(cards.length - 1, number));
      cards[on].setAttribute("data-on", "");
      if (scroll) cards[on].scrollIntoView({block: "nearest"});
    };
    // Where one was before the decision; what was decided has left the list.
    const before = Number(sessionStorage.getItem("kg-at"));
    mark(before, before > 0);
    sessionStorage.removeItem("kg-at");
    document.addEventListener("submit", () => sessionStorage.setItem("kg-at", on));
    cards.forEach((card, number) =>
      card.addEventListener("pointerdown", () => mark(number, false)));
    const press = key => cards[on].querySelector(`[data-key=${key}]`).click();
    const keys = {
      j: () => mark(on + 1, true),
      k: () => mark(on - 1, true),
      a: () => press("a"),
      r: () => press("r"),
      u: () => document.querySelector("[data-key=u]").click(),
      p: () => {
        const audio = cards[on].querySelector("audio");
        if (audio?.paused) audio.play();
        else audio?.pause();
      },
    };
    document.addEventListener("keydown", event => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || sent) return;
      if (!(event.key in keys) || /^(input|textarea)$/i.test(event.target.tagName)) return;
      event.preventDefault();
      keys[event.key]();
    });
  }

  const cypher = document.getElementById("cypher");
  cypher?.addEventListener("keydown", event => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) cypher.form.requestSubmit();
  });
  // Leaving the page ends a query, and so does this.
  cypher?.form.addEventListener("submit", () => {
    const hint = cypher.form.querySelector("[data-hint]"), before = [...hint.childNodes];
    const stop = document.createElement("button");
    stop.type = "button";
    stop.textContent = "Stop";
    stop.addEventListener("click", () => {
      window.stop();
      hint.replaceChildren(...before);
    });
    hint.replaceChildren("Asking… ", stop);
  });
})();
