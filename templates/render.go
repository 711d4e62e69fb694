package templates

import (
	"bytes"
	"embed"
	"fmt"
	"text/template"
)

//go:embed files/*.tmpl
var files embed.FS

// render fills in one of the embedded templates. data has been checked, so that quoting cannot fail.
func render(name string, data any) ([]byte, error) {
	t, err := template.New(name).Funcs(template.FuncMap{
		"assign":      assignment,
		"command":     unitCommand,
		"member":      Member.line,
		"privateTmp":  privateTmp,
		"protectHome": protectHome,
		"quote":       shellQuote,
		"seconds":     seconds,
		"text":        unitText,
		"value":       propertyValue,
		"words":       unitWords,
	}).ParseFS(files, "files/"+name)
	if err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	return out.Bytes(), nil
}
