// How GLib asks for the certificate of this side.
#pragma once

#include <gio/gio.h>

namespace sightglass::adapters {

// Answers with this certificate, whoever asks; the caller owns the reference.
GTlsInteraction* tls_certificate_interaction(GTlsCertificate* certificate);

}  // namespace sightglass::adapters
