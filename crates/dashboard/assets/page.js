// Refreshes the marked parts of an open page when the server reports a change. Every page reads without it.
"use strict";

(() => {
  const events = document.documentElement.dataset.events;
  const pulse = document.getElementById("pulse");
  let source;
  let isRefreshing = false;
  let isStale = false;

  const isPlaying = (part) => [...part.querySelectorAll("audio")].some((audio) => !audio.paused && !audio.ended);

  // Replaces a part that changed, unless something plays or has the focus in it. Opened details stay open.
  function replace(part, next) {
    if (!next || next.innerHTML === part.innerHTML || isPlaying(part) || part.contains(document.activeElement)) return;
    const opened = [...part.querySelectorAll("details")].map((details) => details.open);
    const fresh = document.importNode(next, true);
    fresh.querySelectorAll("details").forEach((details, position) => { details.open = Boolean(opened[position]); });
    part.replaceWith(fresh);
  }

  async function refresh() {
    if (isRefreshing) {
      isStale = true;
      return;
    }
    isRefreshing = true;
    isStale = false;
    try {
      const response = await fetch(location.href, { headers: { accept: "text/html" } });
      if (response.ok) {
        const page = new DOMParser().parseFromString(await response.text(), "text/html");
        document.querySelectorAll("[data-live]").forEach((part) => replace(part, page.getElementById(part.id)));
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

  function show(text, isLost) {
    pulse.hidden = false;
    pulse.textContent = text;
    pulse.classList.toggle("lost", isLost);
  }

  function follow() {
    source = new EventSource(events);
    source.addEventListener("change", refresh);
    source.addEventListener("open", () => show("live", false));
    source.addEventListener("error", () => show("offline", true));
  }

  // Hidden tabs hold no connection: browsers allow six per server.
  document.addEventListener("visibilitychange", () => {
    source?.close();
    if (document.hidden) return;
    follow();
    refresh();
  });
  if (!document.hidden) follow();

  // Only one recording plays at a time.
  document.addEventListener("play", (event) => {
    for (const audio of document.querySelectorAll("audio")) {
      if (audio !== event.target) audio.pause();
    }
  }, true);
})();
