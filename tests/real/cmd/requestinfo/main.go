// Command requestinfo is the oracle of the classifier: it says what the real RequestInfoFactory of
// k8s.io/apiserver makes of a request, as Go's HTTP server would hand it over.
//
// It reads lines METHOD<TAB>TARGET and writes one line each, its fields separated by tabs and
// percent-encoded, so that any bytes survive:
//
//	error<TAB>target        the request target doesn't parse (a server answers 400)
//	error<TAB>requestinfo   the factory refuses it (kube-apiserver answers 500)
//	ok<TAB>resourceRequest<TAB>verb<TAB>apiPrefix<TAB>apiGroup<TAB>apiVersion<TAB>namespace<TAB>resource<TAB>subresource<TAB>name<TAB>path
//
// With -generate it writes such input lines instead.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"log"
	"math/rand"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
)

func main() {
	count := flag.Int("generate", 0, "write this many generated requests instead of reading any")
	seed := flag.Int64("seed", 1, "seed of the generator")
	flag.Parse()
	output := bufio.NewWriterSize(os.Stdout, 1<<20)
	defer output.Flush()
	if *count > 0 {
		generator := newGenerator(*seed)
		for range *count {
			fmt.Fprintln(output, generator.line())
		}
		return
	}
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(make([]byte, 1<<20), 1<<20)
	for input.Scan() {
		method, target, found := strings.Cut(input.Text(), "\t")
		if !found {
			log.Fatalf("not METHOD<TAB>TARGET: %q", input.Text())
		}
		answer(output, method, target)
	}
	if err := input.Err(); err != nil {
		log.Fatal(err)
	}
}

var factory = &request.RequestInfoFactory{
	APIPrefixes:          sets.NewString("api", "apis"),
	GrouplessAPIPrefixes: sets.NewString("api"),
}

func answer(output *bufio.Writer, method, target string) {
	parsed, err := parseTarget(method, target)
	if err != nil {
		fmt.Fprintln(output, "error\ttarget")
		return
	}
	info, err := factory.NewRequestInfo(&http.Request{Method: method, URL: parsed})
	if err != nil {
		fmt.Fprintln(output, "error\trequestinfo")
		return
	}
	fields := []string{
		"ok", strconv.FormatBool(info.IsResourceRequest), info.Verb, info.APIPrefix, info.APIGroup,
		info.APIVersion, info.Namespace, info.Resource, info.Subresource, info.Name, info.Path,
	}
	for i, field := range fields {
		if i > 0 {
			output.WriteByte('\t')
		}
		encode(output, field)
	}
	output.WriteByte('\n')
}

// parseTarget does what net/http's readRequest does with a request target.
func parseTarget(method, target string) (*url.URL, error) {
	justAuthority := method == http.MethodConnect && !strings.HasPrefix(target, "/")
	if justAuthority {
		target = "http://" + target
	}
	parsed, err := url.ParseRequestURI(target)
	if err == nil && justAuthority {
		parsed.Scheme = ""
	}
	return parsed, err
}

func encode(output *bufio.Writer, field string) {
	for i := range len(field) {
		if b := field[i]; b > 0x20 && b < 0x7f && b != '%' {
			output.WriteByte(b)
		} else {
			fmt.Fprintf(output, "%%%02X", b)
		}
	}
}

// generator makes request lines that stress the rules of the classification.
type generator struct{ random *rand.Rand }

func newGenerator(seed int64) *generator {
	return &generator{rand.New(rand.NewSource(seed))}
}

func (g *generator) one(of ...string) string { return of[g.random.Intn(len(of))] }

func (g *generator) chance(percent int) bool { return g.random.Intn(100) < percent }

func (g *generator) line() string {
	return g.method() + "\t" + g.target()
}

func (g *generator) method() string {
	if g.chance(60) {
		return g.one("GET", "GET", "DELETE", "HEAD")
	}
	return g.one("POST", "PUT", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "Get", "FOO", "M-SEARCH")
}

func (g *generator) target() string {
	switch {
	case g.chance(1):
		return g.one("*", "https://h/api/v1/pods", "http://h:1/apis/a/b/c?watch=1", "https://h", "http:/api/v1/x", "x", "1:2/api", "//h/api/v1/pods", "/?", "/", "https://h?watch=1", "HTTP://h/api/v1/nodes/x")
	case g.chance(20):
		return g.realistic() + g.query()
	}
	return g.path() + g.query()
}

func (g *generator) realistic() string {
	return g.one(
		"/api/v1/namespaces/kubevirt-test-default1/pods/virt-launcher-testvmi-abc-xyz12",
		"/apis/kubevirt.io/v1/namespaces/ns/virtualmachineinstances",
		"/apis/kubevirt.io/v1/virtualmachineinstances",
		"/apis/kubevirt.io/v1/namespaces/ns/virtualmachines/vm/status",
		"/apis/subresources.kubevirt.io/v1/namespaces/ns/virtualmachineinstances/vmi/console",
		"/apis/coordination.k8s.io/v1/namespaces/kubevirt/leases/virt-controller",
		"/api/v1/nodes", "/api/v1/nodes/n1/status", "/api/v1/watch/nodes", "/version", "/openapi/v3/apis/apps/v1",
		"/api/v1/namespaces", "/api/v1/namespaces/kubevirt", "/api/v1/namespaces/kubevirt/finalize",
		"/api/v1/namespaces/ns/pods", "/api/v1/pods", "/apis/apps/v1/deployments",
	)
}

func (g *generator) path() string {
	var path strings.Builder
	for range 1 + g.random.Intn(100)/97 {
		path.WriteByte('/')
	}
	if g.chance(92) {
		path.WriteString(g.one("api", "apis", "apis", "api", "apis", "API", "healthz", "%61pi", "apis%2Fg"))
	} else {
		path.WriteString(g.segment())
	}
	for range g.random.Intn(9) {
		path.WriteByte('/')
		path.WriteString(g.segment())
	}
	if g.chance(8) {
		path.WriteString(g.one("/", "//", "%2F", "/.", "/.."))
	}
	return path.String()
}

func (g *generator) segment() string {
	if g.chance(80) {
		return g.one("v1", "v1", "namespaces", "namespaces", "watch", "proxy", "pods", "nodes", "status", "finalize",
			"kubevirt.io", "apps", "ns1", "x", "log", "exec", "virtualmachines", "namespaces", "watch", "api", "apis")
	}
	return g.one("", "", ".", "..", "a;b", "a%2Fb", "%2e%2e", "a%00b", "%c0%af", "%ff", "a+b", "a%20b", "%zz", "%", "%4",
		"~", "a:b", "@", "$x", "!", "'", "(", ")", "*", ",", "=", "a&b", "%25", "%3F", "W", "namespaces%2Fns", "\\", "|", "^", "{}", "[1]")
}

func (g *generator) query() string {
	if g.chance(25) {
		return g.one("", "", "", "?", "??")
	}
	parameters := make([]string, 1+g.random.Intn(4))
	for i := range parameters {
		parameters[i] = g.parameter()
	}
	return "?" + strings.Join(parameters, g.one("&", "&", "&", "&", "&&", ";"))
}

func (g *generator) parameter() string {
	switch g.random.Intn(12) {
	case 0, 1:
		return g.one("watch", "watch", "watch", "Watch", "w%61tch", "watch%", "+watch") +
			g.one("=true", "=1", "=false", "=0", "", "=", "=False", "=FALSE", "=no", "=t", "=00", "=+false", "=%74rue", "=%zz", "=fal%C5%BFe", "=true=1")
	case 2, 3, 4:
		return "fieldSelector=" + g.fieldSelector()
	case 5, 6, 7:
		return "labelSelector=" + g.labelSelector()
	case 8:
		return g.one("limit", "timeoutSeconds") + g.one("=1", "=500", "=", "", "=x", "=1.5", "=-1", "=%2B1", "=+1", "=9223372036854775807", "=9223372036854775808", "=0x1", "=1_0", "=%31")
	case 9:
		return g.one("resourceVersion=0", "resourceVersionMatch=Exact", "continue=abc", "allowWatchBookmarks=x", "sendInitialEvents=true", "allowWatchBookmarks=true", "pretty=1")
	}
	return g.one("", "=", "a", "a=b", "a;b=c", "%zz=1", "a=%zz", "x=y=z", "dryRun=All", "fieldManager=m", "gracePeriodSeconds=0")
}

func (g *generator) fieldSelector() string {
	terms := make([]string, 1+g.random.Intn(3))
	for i := range terms {
		terms[i] = g.one("metadata.name", "metadata.name", "metadata.name", "metadata.namespace", "spec.nodeName", "", "a", "+metadata.name", "metadata.name+") +
			g.one("=", "=", "%3D", "%3D%3D", "!=", "%21%3D", "", "==", "===") +
			g.one("p1", "x", "", "a.b", ".", "..", "a%2Fb", "a%25b", "a%5C%2Cb", "a%5C%3Db", "a%5Cb", "a%5C", "a%3Db", "%FF", "%FF%5C%5C", "p+1", "%C3%A9%5C%2C")
	}
	return strings.Join(terms, g.one(",", "%2C", "%2c", ",,", "%5C%2C"))
}

func (g *generator) labelSelector() string {
	if g.chance(30) {
		return g.one("a%3Db", "a", "!a", "a+in+(b,c)", "a+notin+(b)", "a%3D%3Db,c!%3Dd", "a%3E1", "kubevirt.io%2Fdomain%3Dx", "")
	}
	var selector strings.Builder
	for range g.random.Intn(8) {
		selector.WriteString(g.one("a", "b", "x.io/y", "X.io/y", "a/b/c", "/a", "a/", "in", "notin", "-a", "a-", "a_b", "1", "-1", "%2B1", "%C3%A9", "%00",
			"=", "%3D", "%3D%3D", "!", "!%3D", "%21%3D", "%3E", "%3C", "(", ")", ",", "+", "%20", "%09", "%0A", "%0B", "%0C", "%0D",
			strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("a", 254)+"/b", strings.Repeat("a.", 126)+"a/b"))
		if g.chance(40) {
			selector.WriteString(g.one("+", "=", "+in+(", ")", ","))
		}
	}
	return selector.String()
}
