// Each part of the page starts if the page has it.
if (document.getElementById("crops-data")) startCrops();
if (document.getElementById("budget-data")) startBudget();
if (document.getElementById("table-data")) startTable();

// A link to a section that is folded away unfolds it.
function unfold() {
  const section = location.hash && document.getElementById(location.hash.slice(1));
  if (!section) return;
  for (const fold of section.querySelectorAll(":scope > .section")) fold.open = true;
  section.scrollIntoView();
}
addEventListener("hashchange", unfold);
unfold();
