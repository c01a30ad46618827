// A runtime in a few lines: boots node, loads what a runtime needs, asks for its first invocation.
const http = require("node:http");
require("node:https");
require("node:crypto");
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
http.get({ host, port, path: "/2018-06-01/runtime/invocation/next" }, () => {});
