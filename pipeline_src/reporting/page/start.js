// Each part of the page starts if the page has it.
if (document.getElementById("crops-data")) startCrops();
if (document.getElementById("budget-data")) startBudget();
if (document.getElementById("table-data")) startTable();

// A link to what is folded away unfolds it.
function unfold() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  for (let fold = target; fold; fold = fold.parentElement?.closest("details")) fold.open = true;
}
addEventListener("hashchange", unfold);
unfold();
