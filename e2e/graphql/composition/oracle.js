// Composes sets of subgraphs with the composers of others. A line of standard input is a request, a line of standard output its
// answer:
//
//	{"subgraphs": [{"name", "url", "sdl"}], "ours": "…", "only": true}
//	{"errors": [{"code", "message"}], "sdl", "api", "guild": [code], "ours": {"error", "api", "plans": [{"query", "theirs", "ours"}]}}
//
// "only" asks Apollo's composer alone. "ours" is the supergraph that our composer made: it is read by the planner of others, and must give the same plans as theirs.
'use strict';
const readline = require('node:readline');
const { parse, printSchema, lexicographicSortSchema, isObjectType, isInterfaceType, isUnionType, isNonNullType, getNamedType, isLeafType, isEnumType, isInputObjectType, isListType } = require('graphql');
const { composeServices } = require('@apollo/composition');
const { Supergraph, operationFromDocument, ROUTER_SUPPORTED_SUPERGRAPH_FEATURES } = require('@apollo/federation-internals');
const { QueryPlanner, prettyFormatQueryPlan } = require('@apollo/query-planner');
const guild = require('@theguild/federation-composition');

function compose(subgraphs) {
  let services;
  try {
    services = subgraphs.map((s) => ({ name: s.name, url: s.url, typeDefs: parse(s.sdl) }));
  } catch (e) {
    return { errors: [{ code: 'INVALID_GRAPHQL', message: e.message }] };
  }
  try {
    const r = composeServices(services);
    if (r.errors && r.errors.length) {
      return { errors: r.errors.map((e) => ({ code: e.extensions?.code ?? 'UNKNOWN', message: e.message })) };
    }
    return { sdl: r.supergraphSdl, hints: r.hints.map((h) => h.definition.code) };
  } catch (e) {
    return { crash: String(e && e.stack || e) };
  }
}

function second(subgraphs) {
  try {
    const r = guild.composeServices(subgraphs.map((s) => ({ name: s.name, url: s.url, typeDefs: parse(s.sdl) })));
    return (r.errors ?? []).map((e) => e.extensions?.code ?? 'UNKNOWN');
  } catch (e) {
    return ['CRASH'];
  }
}

function read(sdl) {
  const supergraph = Supergraph.build(sdl, { supportedFeatures: ROUTER_SUPPORTED_SUPERGRAPH_FEATURES });
  const schema = supergraph.apiSchema().toGraphQLJSSchema();
  return { supergraph, schema, api: printSchema(lexicographicSortSchema(schema)) };
}

function literal(type) {
  if (isNonNullType(type)) return literal(type.ofType);
  if (isListType(type)) return '[]';
  if (isEnumType(type)) return type.getValues()[0].name;
  if (isInputObjectType(type)) {
    return '{' + Object.values(type.getFields()).filter((f) => isNonNullType(f.type) && f.defaultValue === undefined).map((f) => f.name + ': ' + literal(f.type)).join(', ') + '}';
  }
  return { Int: '1', Float: '1.5', Boolean: 'true' }[type.name] ?? '"x"';
}

function field(f, schema, depth) {
  const named = getNamedType(f.type);
  const required = f.args.filter((a) => isNonNullType(a.type) && a.defaultValue === undefined);
  const args = required.length ? '(' + required.map((a) => a.name + ': ' + literal(a.type)).join(', ') + ')' : '';
  if (isLeafType(named)) return f.name + args;
  const sub = selection(named, schema, depth - 1);
  return sub && f.name + args + ' ' + sub;
}

function selection(type, schema, depth) {
  if (depth < 0) return '';
  const parts = ['__typename'];
  if (isObjectType(type) || isInterfaceType(type)) {
    for (const f of Object.values(type.getFields())) {
      const s = field(f, schema, depth);
      if (s) parts.push(s);
    }
  }
  if (isUnionType(type) || isInterfaceType(type)) {
    schema.getPossibleTypes(type).forEach((t, i) => {
      const own = Object.values(t.getFields()).filter((f) => isUnionType(type) || !type.getFields()[f.name]);
      const subs = own.map((f) => [f, field(f, schema, Math.min(depth, 1))]).filter(([, s]) => s);
      if (subs.length) parts.push('... on ' + t.name + ' { ' + subs.map(([f, s]) => 'x' + i + '_' + f.name + ': ' + s).join(' ') + ' }');
    });
  }
  return '{ ' + parts.join(' ') + ' }';
}

function queries(schema) {
  const out = [];
  for (const [kind, type] of [['query', schema.getQueryType()], ['mutation', schema.getMutationType()]]) {
    if (!type) continue;
    for (const f of Object.values(type.getFields())) {
      const s = field(f, schema, 3);
      if (s) out.push(kind + ' { ' + s + ' }');
    }
  }
  return out.slice(0, 12);
}

function plan(planner, supergraph, query) {
  try {
    return prettyFormatQueryPlan(planner.buildQueryPlan(operationFromDocument(supergraph.apiSchema(), parse(query))));
  } catch (e) {
    return 'error: ' + e.message;
  }
}

function compare(theirs, ours) {
  let b;
  try {
    b = read(ours);
  } catch (e) {
    return { error: (e.causes ?? [e]).map((c) => c.message).join('; ') };
  }
  const out = { api: b.api, plans: [] };
  if (!theirs) return out;
  try {
    const pa = new QueryPlanner(theirs.supergraph), pb = new QueryPlanner(b.supergraph);
    for (const query of queries(theirs.schema)) {
      out.plans.push({ query, theirs: plan(pa, theirs.supergraph, query), ours: plan(pb, b.supergraph, query) });
    }
  } catch (e) {
    out.error = 'planner: ' + e.message;
  }
  return out;
}

function answer(req) {
  const r = compose(req.subgraphs);
  let theirs;
  if (r.sdl) {
    theirs = read(r.sdl);
    r.api = theirs.api;
  }
  if (!req.only) r.guild = second(req.subgraphs);
  if (req.ours) r.ours = compare(theirs, req.ours);
  return r;
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  let out;
  try {
    out = answer(JSON.parse(line));
  } catch (e) {
    out = { crash: String(e && e.stack || e) };
  }
  process.stdout.write(JSON.stringify(out) + '\n');
});
