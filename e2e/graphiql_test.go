//go:build e2e

package e2e

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/catalyst-router/catalyst/e2e/examples/products"
)

// Someone opens the gateway's address in a browser, or a link with an operation that a colleague sent: GraphiQL loads
// under its own policy, runs the operation, and shows the schema's documentation.
func TestGraphiQL(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a", "")
	a := n("a")
	graphService(t, a, "products", products.Handler())
	answersQuery(t, a, "{ product(sku: \"nobody's\") { sku } }", `{"data":{"product":null}}`)
	page := openBrowser(t)
	page.do("open", chromedp.Navigate("http://"+a.Gateway+"/?query="+url.QueryEscape("{ products { sku __typename } }")))
	page.reads("__typename")
	page.do("execute", chromedp.Click(`//button[starts-with(@aria-label, "Execute query")]`))
	page.reads(`"__typename": "Disc"`)
	page.do("open the documentation", chromedp.Click(`//button[@aria-label="Show Documentation Explorer"]`))
	page.reads("Root Types")
	page.follows("Query")
	page.reads("product(")
	picture, err := chromedp.Run(page.ctx, chromedp.FullScreenshot(100))
	must(t, err)
	dir := filepath.Join("..", "bin", "screenshots")
	must(t, os.MkdirAll(dir, 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "graphiql.png"), picture, 0o600))
}
