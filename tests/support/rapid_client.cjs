// Stands for `rapid-client.node`, the compiled part of Node.js's runtime client, which needs autoconf and a compiler.
// Loaded by `node --require` before the client, whose own files run unchanged. `done` and `error` block, as there.
// https://github.com/aws/aws-lambda-nodejs-runtime-interface-client/blob/main/src/rapid-client.cc
const { execFileSync } = require("child_process");
const Module = require("module");

const api = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation/`;
const script = `
  const [url, type] = process.argv.slice(1);
  const headers = type ? { "Lambda-Runtime-Function-Error-Type": type } : {};
  const body = require("fs").readFileSync(0);
  fetch(url, { method: "POST", headers, body }).then((answer) => answer.text());
`;

async function next() {
  const answer = await fetch(`${api}next`);
  return { bodyJson: await answer.text(), headers: Object.fromEntries(answer.headers) };
}

function post(path, body, type) {
  execFileSync(process.execPath, ["--eval", script, api + path, type], { input: body, env: {} });
}

const done = (id, body) => post(`${id}/response`, body, "");
const error = (id, body) => post(`${id}/error`, body, JSON.parse(body).errorType);

Module._extensions[".node"] = (module) => {
  module.exports = { next, done, error };
};
