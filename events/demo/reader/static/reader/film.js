// Plays the film: layers of a drawing that come and go by their data-from and data-to, in seconds. Says "reader:play" once,
// and "reader:stretch" with the number of each half minute that is reached.
"use strict";
(() => {
  const film = document.querySelector(".film");
  const clock = film.querySelector("[data-clock]");
  const slider = film.querySelector("[data-time]");
  const seconds = Number(film.dataset.seconds);
  const STRETCH_S = 30;
  const all = (selector) => [...film.querySelectorAll(selector)];

  // The frames of a layer: still before `from` and after `to`.
  function layer(element, before, after) {
    const [from, to] = [element.dataset.from / seconds, element.dataset.to / seconds];
    const frames = [{ ...before }, { ...before, offset: from }, { ...after, offset: to }, { ...after }];
    return element.animate(frames, { duration: seconds * 1000, fill: "both" });
  }

  function passing(element) {
    const [from, to] = [element.dataset.from / seconds, element.dataset.to / seconds];
    const fade = 1 / seconds;
    const frames = [[0, 0], [from, 0], [from + fade, 1], [to - fade, 1], [to, 0], [1, 0]];
    return element.animate(frames.map(([offset, opacity]) => ({ offset, opacity })), { duration: seconds * 1000, fill: "both" });
  }

  const layers = [
    ...all(".fades").map((element) => layer(element, { opacity: 0 }, { opacity: 1 })),
    ...all(".sinks").map((element) => layer(element, { transform: "none" }, { transform: "translateY(46px)" })),
    ...all(".passes").map(passing),
  ];
  const time = () => Math.min(seconds, (layers[0].currentTime || 0) / 1000);
  const mmss = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
  const say = (type, detail) => dispatchEvent(new CustomEvent(type, { detail }));
  let isPlaying = false;
  let isBegun = false;
  let stretch = 0;

  function show() {
    slider.value = time();
    slider.setAttribute("aria-valuetext", mmss(time()));
    clock.textContent = `${mmss(time())} / ${mmss(seconds)}`;
    const now = Math.min(Math.floor(time() / STRETCH_S), Math.ceil(seconds / STRETCH_S) - 1) + 1;
    if (isPlaying && now !== stretch) say("reader:stretch", { number: (stretch = now) });
    if (isPlaying && time() >= seconds) set(false);
  }

  function set(playing) {
    isPlaying = playing;
    if (playing && time() >= seconds) layers.forEach((each) => (each.currentTime = 0));
    layers.forEach((each) => (playing ? each.play() : each.pause()));
    film.classList.toggle("playing", playing);
    all("[data-play]").at(-1).setAttribute("aria-label", playing ? "Pause" : "Play");
    if (playing && !isBegun) say("reader:play");
    isBegun ||= playing;
    show();
  }

  all("[data-play]").forEach((button) => button.addEventListener("click", () => set(!isPlaying)));
  slider.addEventListener("input", () => {
    layers.forEach((each) => (each.currentTime = slider.value * 1000));
    show();
  });
  setInterval(() => isPlaying && show(), 200);
  set(false);
})();
