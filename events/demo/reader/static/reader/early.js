// From docs/tracker.md: keeps the calls that come before the tracker. Where a blocker stops it, they lead nowhere and break nothing.
affluence = {q: []};
"view page share download print play click search feature event consent".split(" ")
  .forEach(function (name) { affluence[name] = function () { affluence.q.push([name].concat([].slice.call(arguments))) } });
