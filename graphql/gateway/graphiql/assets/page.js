// Starts GraphiQL on the endpoint beside this page. ?query=, ?variables= and ?operationName= fill it in.
(function () {
  'use strict';
  const url = new URL('graphql', document.baseURI).href;

  // Queries and mutations, @defer and @stream over multipart/mixed included.
  const plain = GraphiQL.createFetcher({ url });

  // Subscriptions come as server-sent events: `next` events with a response each, then `complete`.
  async function* events(params, headers) {
    const abort = new AbortController();
    try {
      const answer = await fetch(url, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json', accept: 'text/event-stream, application/json;q=0.9' },
        body: JSON.stringify(params),
        signal: abort.signal,
      });
      if (!(answer.headers.get('content-type') || '').startsWith('text/event-stream')) {
        yield await answer.json();
        return;
      }
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = '';
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        text += value;
        for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
          const lines = text.slice(0, end).split('\n');
          if (lines.includes('event: complete')) return;
          const data = lines.filter((line) => line.startsWith('data:')).map((line) => line.slice(5)).join('\n').trim();
          if (data) yield JSON.parse(data);
        }
      }
    } finally {
      abort.abort();
    }
  }

  function kind(opts, params) {
    const all = (opts.documentAST && opts.documentAST.definitions) || [];
    const found = all.find((d) => d.kind === 'OperationDefinition' && (!params.operationName || d.name && d.name.value === params.operationName));
    return found && found.operation;
  }

  function fetcher(params, opts) {
    opts = opts || {};
    return kind(opts, params) === 'subscription' ? events(params, opts.headers || {}) : plain(params, opts);
  }

  const given = new URLSearchParams(location.search);
  const props = { fetcher, shouldPersistHeaders: false };
  for (const name of ['query', 'variables', 'operationName']) {
    if (given.has(name)) props[name] = given.get(name);
  }
  ReactDOM.createRoot(document.getElementById('graphiql')).render(React.createElement(GraphiQL, props));
})();
