// Turns each player and its waveform into one button; without scripts the browser's own player stays.
let current = null;
document.querySelectorAll(".clip").forEach((clip) => {
  const sound = clip.querySelector("audio");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "play";
  button.setAttribute("aria-label", "play: " + sound.title);
  sound.removeAttribute("controls");
  button.append(clip.querySelector("svg"), sound);
  clip.replaceWith(button);
  button.addEventListener("click", () => {
    const wasPlaying = !sound.paused;
    if (current) current.pause();
    if (wasPlaying) return;
    current = sound;
    sound.currentTime = 0;
    sound.play();
  });
  sound.addEventListener("play", () => button.classList.add("playing"));
  for (const event of ["pause", "ended"]) sound.addEventListener(event, () => button.classList.remove("playing"));
});
