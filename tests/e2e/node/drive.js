// Usage: node drive.js HOST:PORT TOKEN. Prints what each call told its callback, as JSON.
const [host, token] = process.argv.slice(2);
const mixpanel = require("mixpanel").init(token, { host, protocol: "http" });

const told = (work) =>
  new Promise((resolve) => work((fault) => resolve(fault && fault.length !== 0 ? String(fault) : "ok")));

(async () => {
  const answers = {};
  answers.track = await told((done) => mixpanel.track("Single", { distinct_id: "node", note: "ünï+code" }, done));
  const batch = [1, 2].map((n) => ({ event: "Batched", properties: { distinct_id: "node", n, note: "a+b/c=??>>" } }));
  answers.batch = await told((done) => mixpanel.track_batch(batch, done));
  answers.people = await told((done) => mixpanel.people.set("node", { seats: 3 }, done));
  answers.increment = await told((done) => mixpanel.people.increment("node", "seats", 2, done));
  console.log(JSON.stringify(answers));
})();
