#include "sightglass/adapters/gst/tls_certificate_interaction.h"

namespace {

struct CertificateInteraction {
  GTlsInteraction parent;
  GTlsCertificate* certificate;
};
struct CertificateInteractionClass {
  GTlsInteractionClass parent;
};

G_DEFINE_TYPE(CertificateInteraction, sightglass_certificate_interaction, G_TYPE_TLS_INTERACTION)

GTlsInteractionResult request_certificate(GTlsInteraction* self, GTlsConnection* connection,
                                          GTlsCertificateRequestFlags, GCancellable*, GError**) {
  g_tls_connection_set_certificate(connection, reinterpret_cast<CertificateInteraction*>(self)->certificate);
  return G_TLS_INTERACTION_HANDLED;
}

void finalize(GObject* self) {
  g_clear_object(&reinterpret_cast<CertificateInteraction*>(self)->certificate);
  G_OBJECT_CLASS(sightglass_certificate_interaction_parent_class)->finalize(self);
}

void sightglass_certificate_interaction_class_init(CertificateInteractionClass* type) {
  G_TLS_INTERACTION_CLASS(type)->request_certificate = request_certificate;
  G_OBJECT_CLASS(type)->finalize = finalize;
}

void sightglass_certificate_interaction_init(CertificateInteraction* self) { self->certificate = nullptr; }

}  // namespace

namespace sightglass::adapters {

GTlsInteraction* tls_certificate_interaction(GTlsCertificate* certificate) {
  auto* made = static_cast<CertificateInteraction*>(
      g_object_new(sightglass_certificate_interaction_get_type(), nullptr));
  made->certificate = G_TLS_CERTIFICATE(g_object_ref(certificate));
  return G_TLS_INTERACTION(made);
}

}  // namespace sightglass::adapters
