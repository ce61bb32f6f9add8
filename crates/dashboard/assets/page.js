// Refreshes the marked parts of an open page when the server reports a change. Every page is complete without scripts.
"use strict";

(() => {
  const events = document.documentElement.dataset.events;
  const pulse = document.getElementById("pulse");
  let source;
  let isRefreshing = false;
  let isStale = false;

  // Shows the elements that need scripts.
  document.documentElement.dataset.scripts = "";

  const isPlaying = (part) => part.querySelector(".together[aria-pressed=true]") !== null
    || [...part.querySelectorAll("audio")].some((audio) => !audio.paused && !audio.ended);

  // Whether the visitor fills in a field of a part, or selects its text.
  function isInUse(part) {
    const selection = getSelection();
    const field = document.activeElement?.matches("input, select, textarea") && part.contains(document.activeElement);
    return field || (!selection.isCollapsed && selection.containsNode(part, true));
  }

  // Finds the counterpart of an element of a part in another version of the part.
  function twin(element, part, other) {
    const name = (node) => node.id || node.getAttribute("href") || node.getAttribute("aria-label");
    const alike = (root) => [...root.querySelectorAll(element.localName)].filter((node) => name(node) === name(element));
    return alike(other)[alike(part).indexOf(element)];
  }

  // Replaces a part that changed, unless the visitor uses it or listens to it. Focus, scroll positions and opened details
  // remain.
  function replace(part, next) {
    if (!next || next.innerHTML === part.innerHTML || isPlaying(part) || isInUse(part)) return;
    const fresh = document.importNode(next, true);
    for (const details of part.querySelectorAll("details[open]")) twin(details, part, fresh)?.setAttribute("open", "");
    const boxes = [...part.querySelectorAll(".scroll")].map((box) => [twin(box, part, fresh), box.scrollLeft, box.scrollTop]);
    const focused = part.contains(document.activeElement) ? twin(document.activeElement, part, fresh) : undefined;
    part.replaceWith(fresh);
    for (const [box, left, top] of boxes) box?.scrollTo({ left, top, behavior: "instant" });
    focused?.focus({ preventScroll: true });
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
        document.documentElement.dataset.problems = page.documentElement.dataset.problems;
        showState();
        document.querySelectorAll("[data-live]").forEach((part) => replace(part, page.getElementById(part.id)));
      }
    } catch {
      // The next event, or the reconnection, retries.
    }
    // At most one refresh per second.
    setTimeout(() => {
      isRefreshing = false;
      if (isStale) refresh();
    }, 1000);
  }

  // Shows whether the page is updated; "live" only if nothing fails.
  function showState() {
    const isOpen = source?.readyState === EventSource.OPEN;
    const problems = Number(document.documentElement.dataset.problems);
    pulse.hidden = false;
    pulse.textContent = isOpen ? "live" : "offline";
    if (isOpen && problems > 0) pulse.textContent = problems === 1 ? "1 problem" : `${problems} problems`;
    pulse.classList.toggle("lost", !isOpen || problems > 0);
  }

  function follow() {
    source = new EventSource(events);
    source.addEventListener("change", refresh);
    source.addEventListener("open", showState);
    source.addEventListener("error", showState);
  }

  // Hidden tabs hold no connection: browsers allow six per server.
  document.addEventListener("visibilitychange", () => {
    source?.close();
    if (document.hidden) return;
    follow();
    refresh();
  });
  if (!document.hidden) follow();

  // Two recordings on one time axis: the first on the left, the second on the right.
  let pair;

  function stopPair() {
    pair?.button.setAttribute("aria-pressed", "false");
    pair?.context.close();
    pair = undefined;
  }

  async function playPair(button) {
    const running = { button, context: new AudioContext() };
    const { context } = running;
    pair = running;
    button.setAttribute("aria-pressed", "true");
    const load = async (address) => context.decodeAudioData(await (await fetch(address)).arrayBuffer());
    try {
      const [left, right] = await Promise.all([load(button.dataset.left), load(button.dataset.right)]);
      if (pair !== running) return;
      const begin = context.currentTime + 0.1;
      let playing = 0;
      const play = (buffer, pan, start, offset, seconds) => {
        const source = new AudioBufferSourceNode(context, { buffer });
        source.connect(new StereoPannerNode(context, { pan })).connect(context.destination);
        source.start(begin + start, offset, seconds);
        playing += 1;
        source.addEventListener("ended", () => {
          playing -= 1;
          if (playing === 0 && pair === running) stopPair();
        });
      };
      play(left, -1, 0, 0, left.duration);
      for (const [start, offset, seconds] of JSON.parse(button.dataset.pieces)) play(right, 1, start, offset, seconds);
    } catch {
      if (pair === running) stopPair();
      button.disabled = true;
      button.textContent = "Recording unavailable";
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".together");
    if (!button) return;
    const isRunning = pair?.button === button;
    stopPair();
    document.querySelectorAll("audio").forEach((audio) => audio.pause());
    if (!isRunning) playPair(button);
  });

  // The time axis of a recording: the lane of its card.
  const laneOf = (audio) => audio.closest(".card")?.querySelector(".lane[data-axis]");

  // Moves the playhead of a recording along its time axis.
  function move(audio) {
    const lane = laneOf(audio);
    if (!lane) return;
    const now = audio.currentTime;
    const [start, offset] = JSON.parse(lane.dataset.pieces).findLast(([, begin]) => begin <= now) ?? [0, 0];
    let head = lane.querySelector(".playhead");
    if (!head) {
      head = document.createElementNS(lane.namespaceURI, "line");
      head.setAttribute("class", "playhead");
      head.setAttribute("y2", "86%");
      lane.append(head);
    }
    for (const end of ["x1", "x2"]) head.setAttribute(end, `${((start + now - offset) / lane.dataset.axis) * 100}%`);
  }

  // Plays a recording from the position of a click on its time axis.
  function seek(lane, x) {
    const audio = lane.closest(".card")?.querySelector("audio");
    const { left, width } = lane.getBoundingClientRect();
    const time = ((x - left) / width) * lane.dataset.axis;
    const piece = JSON.parse(lane.dataset.pieces).findLast(([begin]) => begin <= time);
    if (!audio || !piece) return;
    const [start, offset, seconds] = piece;
    audio.currentTime = offset + Math.min(time - start, seconds);
    // The player itself reports a missing recording.
    audio.play().catch(() => {});
  }

  for (const name of ["timeupdate", "seeked"]) document.addEventListener(name, (event) => move(event.target), true);
  document.addEventListener("click", (event) => {
    const lane = event.target.closest?.(".lane[data-axis]");
    if (lane) seek(lane, event.clientX);
  });

  // Only one recording plays at a time.
  document.addEventListener("play", (event) => {
    stopPair();
    for (const audio of document.querySelectorAll("audio")) {
      if (audio !== event.target) audio.pause();
    }
  }, true);
})();
