export function draw(into, what) { into.textContent = "a chart: " + what; }
