package config

import (
	"slices"
	"strings"
	"testing"
)

func TestSources(t *testing.T) {
	for text, want := range map[string]string{
		"docker":                              "docker /var/run/docker.sock",
		"docker=/run/user/1/docker.sock":      "docker /run/user/1/docker.sock",
		"dir=/etc/catalyst/services.d,docker": "dir /etc/catalyst/services.d, docker /var/run/docker.sock",
		"[dir=/a, 'dir=/b,c']":                "dir /a, dir /b,c",
		"dir=services.d":                      "want an absolute path",
		"docker=":                             "want the absolute path",
		"podman":                              "want docker, docker=SOCKET, kubernetes or dir=DIRECTORY",
		"kubernetes,docker":                   "kubernetes , docker /var/run/docker.sock",
		"kubernetes=/etc/kubeconfig":          "want kubernetes alone",
		"kubernetes,kubernetes":               "stands there twice",
		"dir=/a,dir=/a/":                      "stands there twice",
	} {
		c, err := Load("", func(string) (string, bool) { return "", false }, map[string]string{"discover": text})
		var got string
		if err == nil {
			sources, _ := c.Sources()
			var all []string
			for _, s := range sources {
				all = append(all, s.Kind+" "+s.Path)
			}
			got = strings.Join(all, ", ")
		} else {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

// Lists may be written as words with commas between in every place where a setting is written.
func TestPlainLists(t *testing.T) {
	if !plain("a,b") || plain("[a, b]") || plain("- a") || plain(`"a"`) {
		t.Error("the notations are not told apart")
	}
	env := func(name string) (string, bool) { return "a.acme.example,b.acme.example", name == "CATALYST_WEB_HOSTS" }
	if c, err := Load(
		"",
		env,
		nil,
	); err != nil ||
		!slices.Equal(c.WebHosts, []string{"a.acme.example", "b.acme.example"}) {
		t.Errorf("%v, %v", c, err)
	}
}
