# Packages: part of the Makefile.
#
#   make deb             the Debian package, build/deb/turnpike_VERSION_ARCH.deb
#   make sbom            what it is made of, build/turnpike.spdx.json (SPDX 2.3)
#
# DEB_VERSION=0.1.0~deb12 names it otherwise, such as where one archive has it for several releases.

DEB_VERSION ?= $(VERSION)
DEB_JOBS ?= $(or $(patsubst -j%,%,$(filter -j%,$(MAKEFLAGS))),$(shell nproc))

.PHONY: deb sbom

# What make was told of this build is not for the other that the package is of.
deb:
	@env -u MAKEFLAGS -u MAKEOVERRIDES -u MFLAGS -u CFLAGS -u CPPFLAGS -u LDFLAGS \
		dist/deb.sh '$(abspath $(BUILD))/deb' '$(DEB_VERSION)' '$(DEB_JOBS)'

# llhttp is compiled in where Debian has it as sources alone.
sbom: $(TURNPIKE)
	@dist/sbom.sh $(TURNPIKE) '$(VERSION)' $(if $(LLHTTP_OBJS),node-llhttp) >$(BUILD)/turnpike.spdx.json.tmp
	@mv $(BUILD)/turnpike.spdx.json.tmp $(BUILD)/turnpike.spdx.json
	$(if $(V),,@echo '  SBOM  $(BUILD)/turnpike.spdx.json')
