package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"time"
)

// MostLogo limits a logo, in bytes. It is on every page, at a height of 24 px.
const MostLogo = 64 << 10

// mostLogoSide limits the sides of a logo, in pixels, so that it is not much larger in memory.
const mostLogoSide = 2048

// A Logo is the image beside the name of the platform. The zero value stands for none.
type Logo struct {
	data     []byte
	mimeType string
	hash     string // part of the address, so that browsers can cache it forever
}

// NewLogo returns the logo in a file. Its type follows from the content: PNG, SVG or WebP.
func NewLogo(data []byte) (Logo, error) {
	if len(data) > MostLogo {
		return Logo{}, fmt.Errorf("the file is larger than %d KiB: use a smaller image", MostLogo>>10)
	}
	mimeType, err := typeOfLogo(data)
	if err != nil {
		return Logo{}, err
	}
	sum := sha256.Sum256(data)
	return Logo{data: bytes.Clone(data), mimeType: mimeType, hash: hex.EncodeToString(sum[:6])}, nil
}

func typeOfLogo(data []byte) (string, error) {
	switch {
	case bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")):
		return "image/png", checkPNG(data)
	case len(data) >= 16 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP":
		return "image/webp", checkWebP(data)
	case bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(data, []byte("\ufeff")), " \t\r\n"), []byte("<")):
		return "image/svg+xml", checkSVG(data)
	}
	return "", errors.New("the file is not a PNG, SVG or WebP image")
}

func checkPNG(data []byte) error {
	size, err := png.DecodeConfig(bytes.NewReader(data))
	if err == nil && max(size.Width, size.Height) > mostLogoSide {
		return fmt.Errorf("the image has %d × %d pixels: use at most %d on a side", size.Width, size.Height, mostLogoSide)
	}
	if err == nil {
		_, err = png.Decode(bytes.NewReader(data))
	}
	if err != nil {
		return fmt.Errorf("the PNG image is damaged: %w", err)
	}
	return nil
}

// checkWebP checks the container (RFC 9649, section 2). The image in it is not decoded.
func checkWebP(data []byte) error {
	size := int(data[4]) | int(data[5])<<8 | int(data[6])<<16 | int(data[7])<<24
	if size+8 > len(data) {
		return errors.New("the WebP image is cut off")
	}
	switch string(data[12:16]) {
	case "VP8 ", "VP8L", "VP8X":
		return nil
	}
	return errors.New("the WebP image is damaged: it has no image data")
}

const svgNamespace = "http://www.w3.org/2000/svg"

// checkSVG requires a whole document of SVG. Its scripts need no check, because they do not run: neither in a page,
// which shows it as an image, nor if it is opened itself.
func checkSVG(data []byte) error {
	d := xml.NewDecoder(bytes.NewReader(data))
	found := false
	for {
		token, err := d.Token()
		if err == io.EOF && found {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the file is not a valid SVG image: %w", err)
		}
		if e, ok := token.(xml.StartElement); ok && !found {
			if e.Name.Local != "svg" || e.Name.Space != svgNamespace {
				return fmt.Errorf(`the file is not an SVG image: its root element is %q, not "svg" with xmlns=%q`,
					e.Name.Local, svgNamespace)
			}
			found = true
		}
	}
}

// logoPath is the path of the logo.
const logoPath = "/platform/logo"

// exists reports whether there is a logo.
func (l Logo) exists() bool { return len(l.data) > 0 }

// Address returns the address of the logo on pages.
func (l Logo) Address() string { return logoPath + "?" + l.hash }

// logoPolicy lets a logo that is opened itself load nothing and run no script. An SVG has its styles and images inside.
const logoPolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; " +
	"frame-ancestors 'none'; sandbox"

// ServeHTTP serves the logo. Browsers may cache it forever under its own address. Under any other, such as that of a
// replica that already has the next logo, they may not.
func (l Logo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", l.mimeType)
	h.Set("Content-Security-Policy", logoPolicy)
	if r.URL.RawQuery == l.hash {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(l.data))
}
