// Which file to ship within a budget: the rule of pipeline_src/budgets.py, which `superres pick` follows.
// A test compares the two on random tables.

function latency(file, { height, width }) {
  return (file.ms * height * width) / (file.timed[0] * file.timed[1]); // in proportion to the area
}

// The files of one device and scale, with `at`: what they take for an image of the wanted size, and reach on the wanted
// set.
function candidates(files, budget) {
  return files
    .filter((file) => file.scale === budget.scale && file.device === budget.device && budget.set in file.psnr)
    .map((file) => ({
      ...file,
      at: { ms: latency(file, budget), psnr: file.psnr[budget.set], gain: file.gain[budget.set] },
    }));
}

function admits(budget, file) {
  return (
    !file.leftOut &&
    (!budget.variant || file.variant === budget.variant) &&
    (!budget.runtime || file.format === budget.runtime) &&
    (budget.kib === null || file.kib <= budget.kib) &&
    (budget.psnr === null || file.at.psnr >= budget.psnr)
  );
}

function byName(a, b) {
  const [nameA, nameB] = [a, b].map(({ net, variant, runtime }) => `${net} ${variant} ${runtime}`);
  return nameA < nameB ? -1 : Number(nameA > nameB);
}

// The files that no other is both faster and better than, the fastest first.
function front(files) {
  const best = [];
  const ordered = [...files].sort(
    (a, b) => a.at.ms - b.at.ms || b.at.psnr - a.at.psnr || a.kib - b.kib || byName(a, b),
  );
  for (const file of ordered) {
    if (!best.length || file.at.psnr > best.at(-1).at.psnr) best.push(file);
  }
  return best;
}

// What Choice is in Python, with the front; `best` is undefined if nothing fits.
function choose(files, budget) {
  const allowed = front(files.filter((file) => admits(budget, file)));
  const place = allowed.findLastIndex((file) => budget.ms === null || file.at.ms <= budget.ms);
  return {
    front: allowed,
    best: allowed[place],
    faster: allowed[place - 1],
    better: place < 0 ? undefined : allowed[place + 1],
  };
}
