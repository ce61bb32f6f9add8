// Refreshes the marked parts of an open page when the server reports a change. Every page reads without it.
"use strict";

(() => {
  const events = document.documentElement.dataset.events;
  const pulse = document.getElementById("pulse");
  let isRefreshing = false;
  let isStale = false;

  const isPlaying = (part) => [...part.querySelectorAll("audio")].some((audio) => !audio.paused && !audio.ended);

  // Replaces each part that changed, unless something plays or has the focus in it.
  async function refresh() {
    if (isRefreshing || document.hidden) {
      isStale = true;
      return;
    }
    isRefreshing = true;
    isStale = false;
    try {
      const response = await fetch(location.href, { headers: { accept: "text/html" } });
      if (response.ok) {
        const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
        for (const part of document.querySelectorAll("[data-live]")) {
          const next = fresh.getElementById(part.id);
          if (next && next.innerHTML !== part.innerHTML && !isPlaying(part) && !part.contains(document.activeElement)) {
            part.replaceWith(document.importNode(next, true));
          }
        }
      }
    } catch {
      // The next event, or the reconnection, tries again.
    }
    // At most one refresh a second.
    setTimeout(() => {
      isRefreshing = false;
      if (isStale) refresh();
    }, 1000);
  }

  const source = new EventSource(events);
  source.addEventListener("change", refresh);
  source.addEventListener("open", () => {
    pulse.hidden = false;
    pulse.textContent = "live";
    pulse.classList.remove("lost");
  });
  source.addEventListener("error", () => {
    pulse.hidden = false;
    pulse.textContent = "offline";
    pulse.classList.add("lost");
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && isStale) refresh();
  });

  // Only one recording plays at a time.
  document.addEventListener("play", (event) => {
    for (const audio of document.querySelectorAll("audio")) {
      if (audio !== event.target) audio.pause();
    }
  }, true);
})();
