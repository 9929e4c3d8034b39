// The search puts the single reports and the changelog behind the pages that explain.
// All else is as Sphinx has it.
var Scorer = {
  score: ([page, , , , score]) =>
    /^results\/.*\/|^CHANGELOG/.test(page) ? score - 20 : score,
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
