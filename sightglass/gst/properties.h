// GObject properties made from a ParamTable: one property per parameter, in the table's order.
#pragma once

#include <gst/gst.h>

#include <string_view>

#include "sightglass/core/param.h"

namespace sightglass::gst {

// Installs the properties on a class that is being initialised. `element` names the enum types; the table
// must outlive the class.
void install_properties(GObjectClass* klass, const ParamTable& table, std::string_view element,
                        guint first_id = 1);

// A value that GObject has range-checked by its type already, as the parameter stores it.
ParamValue from_gvalue(const ParamDesc& desc, const GValue* value);
// `value` has been initialised to the property's type.
void to_gvalue(const ParamDesc& desc, const ParamValue& param, GValue* value);

}  // namespace sightglass::gst
