// Usage: node drive.js HOST:PORT TOKEN. Calls every method and prints what each told its callback, as JSON.
const [host, token] = process.argv.slice(2);
const mixpanel = require("mixpanel").init(token, { host, protocol: "http" });

const answers = {};
const call = (name, work) =>
  new Promise((resolve) =>
    work((fault) => {
      answers[name] = fault && fault.length !== 0 ? String(fault) : "ok";
      resolve();
    })
  );

(async () => {
  const { people, groups } = mixpanel;
  await call("track", (done) => mixpanel.track("Single", { distinct_id: "node", note: "ünï+code" }, done));
  const batch = [1, 2].map((n) => ({ event: "Batched", properties: { distinct_id: "node", n, note: "a+b/c=??>>" } }));
  await call("track_batch", (done) => mixpanel.track_batch(batch, done));
  await call("alias", (done) => mixpanel.alias("node", "node-alias", done));
  await call("people.set", (done) => people.set("node", { seats: 3, tags: ["a"], gone: 1 }, done));
  await call("people.set one", (done) => people.set("node", "plan", "pro", done));
  await call("people.set_once", (done) => people.set_once("node", { plan: "free", first: "yes" }, done));
  await call("people.increment", (done) => people.increment("node", "seats", 2, done));
  await call("people.append", (done) => people.append("node", { tags: "b" }, done));
  await call("people.union", (done) => people.union("node", { tags: ["b", "c"] }, done));
  await call("people.remove", (done) => people.remove("node", { tags: "a" }, done));
  await call("people.unset", (done) => people.unset("node", ["gone"], done));
  await call("people.track_charge", (done) => people.track_charge("node", 9.99, {}, done));
  await call("people.clear_charges", (done) => people.clear_charges("node", done));
  await call("people.delete_user", (done) => people.delete_user("node-alias", done));
  await call("groups.set", (done) => groups.set("company", "acme", { plan: "pro", tags: ["a"], gone: 1 }, done));
  await call("groups.set_once", (done) => groups.set_once("company", "acme", { plan: "free", first: "yes" }, done));
  await call("groups.union", (done) => groups.union("company", "acme", { tags: ["b"] }, done));
  await call("groups.remove", (done) => groups.remove("company", "acme", { tags: "a" }, done));
  await call("groups.unset", (done) => groups.unset("company", "acme", ["gone"], done));
  await call("groups.set other", (done) => groups.set("company", "other", { plan: "pro" }, done));
  await call("groups.delete_group", (done) => groups.delete_group("company", "other", done));
  console.log(JSON.stringify(answers));
})();
