// Runs before the first paint, so that a chosen theme never flashes.
try {
  const theme = localStorage.getItem("affluence-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch { /* storage is closed: the system's theme it is */ }
