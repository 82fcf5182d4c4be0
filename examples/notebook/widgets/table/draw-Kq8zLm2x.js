export function draw(into, what) { into.textContent = "a table: " + what; }
