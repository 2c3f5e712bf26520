// Serves subgraphs over HTTP, answers as a monolith does, and plans with the planner of others. A line of standard input is a request, a
// line of standard output its answer:
//
//	{"world": seed, "subgraphs": [{"name", "sdl", "library"}], "supergraph"}   → {"supergraph", "urls": {name: url}} or {"errors": [text]}
//	{"query", "variables", "follow"}                  → {"data", "errors", "fetches", "rounds", "plan", "requests": [text], "complaint"}
//
// "complaint" is what a subgraph says to their plan if that is wrong; it is asked for with "follow".
// If "supergraph" is given, it is not composed. "requests" are those that the subgraphs got since the last answer.
'use strict';
const http = require('node:http');
const readline = require('node:readline');
const { parse, execute, validate, isAbstractType, GraphQLError } = require('graphql');
const { composeServices } = require('@apollo/composition');
const { Supergraph, operationFromDocument, ROUTER_SUPPORTED_SUPERGRAPH_FEATURES } = require('@apollo/federation-internals');
const { QueryPlanner, prettyFormatQueryPlan } = require('@apollo/query-planner');
const { buildSubgraphSchema } = require('@apollo/subgraph');
const { World } = require('./world.js');

console.log = console.info = console.error; // standard output is for answers

let current, requests = [], port, closers = [];

// build makes an executable schema of a subgraph.
function build(world, { name, sdl }) {
  const resolvers = world.subgraph(name);
  const schema = buildSubgraphSchema(parse(sdl));
  for (const t of world.subgraphs.get(name).types.values()) {
    const type = schema.getType(t.name);
    if (t.keys.length) type.extensions = { ...type.extensions, apollo: { subgraph: { resolveReference: resolvers.resolveReference } } };
    if (isAbstractType(type)) {
      type.resolveType = resolvers.typeResolver;
      continue;
    }
    for (const f of Object.values(type.getFields())) f.resolve ??= resolvers.fieldResolver;
  }
  return schema;
}

// plain executes as the reference implementation does.
function plain(schema) {
  return async ({ query, variables }) => {
    const document = parse(query);
    const errors = validate(schema, document);
    return errors.length ? { errors } : execute({ schema, document, variableValues: variables });
  };
}

// libraries are ways to serve a schema, as people do. They return the URL.
const libraries = {
  async apollo(schema) {
    const { ApolloServer } = require('@apollo/server');
    const { startStandaloneServer } = require('@apollo/server/standalone');
    const server = new ApolloServer({ schema, includeStacktraceInErrorResponses: false });
    const { url } = await startStandaloneServer(server, { listen: { host: '127.0.0.1', port: 0 } });
    closers.push(() => server.stop());
    return url;
  },
  async yoga(schema) {
    const { createYoga } = require('graphql-yoga');
    const server = http.createServer(createYoga({ schema, logging: false, maskedErrors: false }));
    await new Promise((done) => server.listen(0, 'localhost', done));
    closers.push(() => { server.close(); server.closeAllConnections(); });
    return `http://localhost:${server.address().port}/graphql`;
  },
};

async function create(req) {
  for (const close of closers.splice(0)) await close();
  const world = new World(req.world, req.subgraphs);
  const subgraphs = {}, urls = {};
  for (const s of req.subgraphs) {
    const schema = build(world, s);
    subgraphs[s.name] = plain(schema);
    urls[s.name] = s.library ? await libraries[s.library](schema) : url(s.name);
  }
  const r = req.supergraph ? { supergraphSdl: req.supergraph } : composeServices(req.subgraphs.map((s) => ({ name: s.name, url: urls[s.name], typeDefs: parse(s.sdl) })));
  if (r.errors?.length) return { errors: r.errors.map((e) => e.message), urls };
  const supergraph = Supergraph.build(r.supergraphSdl, { supportedFeatures: ROUTER_SUPPORTED_SUPERGRAPH_FEATURES });
  const whole = supergraph.schema.toGraphQLJSSchema();
  current = { world, whole, supergraph, planner: new QueryPlanner(supergraph), schema: supergraph.apiSchema().toGraphQLJSSchema(), resolvers: world.monolith(), subgraphs };
  return { supergraph: r.supergraphSdl, urls };
}

const url = (name) => `http://127.0.0.1:${port}/${name}`;

// measure counts the fetches of a plan, and the longest chain of them.
function measure(node, variables) {
  const all = (nodes) => nodes.map((n) => measure(n, variables));
  const fetches = (list) => list.reduce((n, m) => n + m.fetches, 0);
  switch (node?.kind) {
    case 'Fetch': return { fetches: 1, rounds: 1 };
    case 'Flatten': return measure(node.node, variables);
    case 'Sequence': { const l = all(node.nodes); return { fetches: fetches(l), rounds: l.reduce((n, m) => n + m.rounds, 0) }; }
    case 'Parallel': { const l = all(node.nodes); return { fetches: fetches(l), rounds: Math.max(0, ...l.map((m) => m.rounds)) }; }
    case 'Condition': return measure(variables?.[node.condition] ? node.ifClause : node.elseClause, variables);
  }
  return { fetches: 0, rounds: 0 };
}

// defaults are those of an operation's variables that conditions may depend on.
function defaults(document) {
  const given = document.definitions.flatMap((d) => d.variableDefinitions ?? []).filter((v) => v.defaultValue?.kind === 'BooleanValue');
  return Object.fromEntries(given.map((v) => [v.variable.name.value, v.defaultValue.value]));
}

// follow executes a plan of theirs as far as it takes to see whether a subgraph is asked for what it cannot know. It returns the complaint.
async function follow(node, variables) {
  const root = {};
  let complaint;
  const selected = (v, selections) => {
    if (v === null || v === undefined || typeof v !== 'object') return v ?? null;
    if (Array.isArray(v)) return v.map((x) => selected(x, selections));
    const out = {};
    for (const s of selections) {
      if (s.kind === 'Field') out[s.name] = s.selections ? selected(v[s.name], s.selections) : v[s.name] ?? null;
      else if (!s.typeCondition || is(v, s.typeCondition)) Object.assign(out, selected(v, s.selections));
    }
    return out;
  };
  const is = (v, type) => {
    const t = current.whole.getType(type);
    return v.__typename === type || isAbstractType(t) && current.whole.isSubType(t, current.whole.getType(v.__typename));
  };
  const merge = (a, b) => {
    for (const [k, v] of Object.entries(b ?? {})) {
      if (a[k] && v && typeof a[k] === 'object' && typeof v === 'object') merge(a[k], v);
      else a[k] = v;
    }
  };
  const find = (v, path) => {
    if (v === null || v === undefined) return [];
    if (Array.isArray(v)) return v.flatMap((x) => find(x, path[0] === '@' ? path.slice(1) : path));
    if (!path.length) return [v];
    return find(v[path[0]], path.slice(1));
  };
  const rewrite = (rep, { path, setValueTo }) => {
    const type = path[0].replace('... on ', '');
    if (path.length === 2 && is(rep, type)) rep[path[1]] = setValueTo;
  };
  const go = async (n, at) => {
    switch (n?.kind) {
      case 'Sequence': for (const c of n.nodes) await go(c, at); return;
      case 'Parallel': await Promise.all(n.nodes.map((c) => go(c, at))); return;
      case 'Condition': return go(variables?.[n.condition] ? n.ifClause : n.elseClause, at);
      case 'Flatten': return go(n.node, n.path);
      case 'Fetch': {
        const vars = Object.fromEntries((n.variableUsages ?? []).filter((v) => variables && v in variables).map((v) => [v, variables[v]]));
        let objects = [root];
        if (n.requires) {
          objects = find(root, at).filter((o) => n.requires.some((s) => !s.typeCondition || is(o, s.typeCondition)));
          if (!objects.length) return;
          vars.representations = objects.map((o) => {
            const rep = selected(o, n.requires);
            for (const r of n.inputRewrites ?? []) if (r.kind === 'ValueSetter') rewrite(rep, r);
            return rep;
          });
        }
        const answer = await current.subgraphs[n.serviceName]({ query: n.operation, variables: vars });
        complaint ??= answer.errors?.find((e) => !/^bad |non-nullable/.test(e.message))?.message;
        if (n.requires) objects.forEach((o, i) => merge(o, answer.data?._entities?.[i]));
        else merge(root, answer.data);
      }
    }
  };
  await go(node, []);
  return complaint;
}

async function run({ query, variables, follow: following }) {
  const document = parse(query);
  const invalid = validate(current.schema, document);
  if (invalid.length) return { invalid: invalid.map((e) => e.message) };
  const out = await execute({ schema: current.schema, document, variableValues: variables, ...current.resolvers });
  const answer = { data: out.data, errors: (out.errors ?? []).map((e) => ({ message: e.message, path: e.path })) };
  try {
    const plan = current.planner.buildQueryPlan(operationFromDocument(current.supergraph.apiSchema(), document));
    if (following) {
      for (let n = 1; n <= 8; n++) { // what is null, empty or of another type would hide the fault
        current.world.full = n;
        answer.complaint ??= await follow(plan.node, variables);
      }
      current.world.full = 0;
    }
    Object.assign(answer, measure(plan.node, { ...defaults(document), ...variables }), { plan: prettyFormatQueryPlan(plan) });
  } catch (e) {
    answer.planner = String(e.stack ?? e);
  }
  return answer;
}

const server = http.createServer((req, res) => {
  const chunks = [];
  req.on('data', (c) => chunks.push(c)).on('end', async () => {
    const name = req.url.slice(1);
    let body;
    try {
      const asked = JSON.parse(Buffer.concat(chunks));
      body = await current.subgraphs[name](asked);
      requests.push(name + ' ' + asked.query + ' ' + JSON.stringify(asked.variables ?? {}) + ' → ' + JSON.stringify(body));
    } catch (e) {
      body = { errors: [new GraphQLError(e.message)] };
      requests.push(name + ' → ' + e.stack);
    }
    res.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  });
});

server.listen(0, '127.0.0.1', () => {
  port = server.address().port;
  const lines = readline.createInterface({ input: process.stdin });
  lines.on('line', async (line) => {
    const req = JSON.parse(line);
    let out;
    try {
      out = req.subgraphs ? await create(req) : await run(req);
    } catch (e) {
      out = { crash: e.stack };
    }
    out.requests = requests;
    requests = [];
    process.stdout.write(JSON.stringify(out) + '\n');
  });
  lines.on('close', async () => {
    for (const close of closers) await close();
    server.close();
    server.closeAllConnections();
  });
});
