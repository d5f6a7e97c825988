// Usage: node drive_import.js HOST:PORT TOKEN USERNAME SECRET PROJECT. Prints what each call told its callback, as JSON.
const [host, token, username, secret, project] = process.argv.slice(2);
const { init, ServiceAccountCredentials } = require("mixpanel");
const credentials = new ServiceAccountCredentials(username, secret, project);
const mixpanel = init(token, { host, credentials });

const told = (work) =>
  new Promise((resolve) => work((fault) => resolve(fault && fault.length !== 0 ? String(fault) : "ok")));

(async () => {
  const answers = {};
  const long_ago = new Date(Date.now() - 100 * 86400 * 1000);
  const event = (n) => ({ event: "Old", properties: { distinct_id: "old", time: long_ago, n } });
  answers.import = await told((done) => mixpanel.import("Old", long_ago, { distinct_id: "old", n: 0 }, done));
  answers.import_batch = await told((done) => mixpanel.import_batch([event(1), event(2)], done));
  console.log(JSON.stringify(answers));
})();
