// Package asset
package asset
