// The function of the tests for Node.js's runtime client; the event selects what it does, as in app.py.
class DemoError extends Error {
  name = "DemoError";
}

exports.handler = async (event) => {
  if (event.raise) throw new DemoError(event.raise);
  if (event.exit) process.exit(event.exit);
  if (event.later) setTimeout(() => { throw new DemoError(event.later); }, 1);
  if (event.reject) Promise.reject(new DemoError(event.reject));
  if (event.later || event.reject) await new Promise((resolve) => setTimeout(resolve, 60000));
  return event;
};
