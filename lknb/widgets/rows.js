// What the kernel sends about each part: its rows, its single values, and what its actions answer. Only types: the
// kernel's TypedDicts have the same names and keys.

/** @typedef {"open" | "ok" | "failed" | "dropped"} Status */

// Panel

/**
 * @typedef {object} PanelValues
 * @property {string} room
 * @property {string} identity
 * @property {string} name empty when it is the identity
 * @property {string} state
 * @property {string} reason
 * @property {number | null} participants null once the room is closed
 * @property {string[]} ended the names of the handlers that ended when this panel left
 */

/** @typedef {{ leave: null, rejoin: null }} PanelAnswers */
/** @typedef {{ values: PanelValues, rows: {}, answers: PanelAnswers }} PanelPart */

// Feed

/**
 * @typedef {object} FeedFilter
 * @property {string} [kind]
 * @property {string} [topic]
 * @property {string} [sender]
 * @property {string} [text]
 */

/**
 * @typedef {object} FeedValues
 * @property {number} total events in the room's log so far
 * @property {number} evicted events that the log no longer has
 * @property {number} matched
 * @property {number} skipped events that came and went between two batches
 * @property {number} rate events per second
 * @property {FeedFilter} filter shared by all views
 * @property {{ kinds: string[], topic: string | null }} only
 * @property {string[]} kinds all that can be filtered for
 * @property {number} limit rows that the kernel keeps
 */

/**
 * @typedef {object} EventRow
 * @property {number} time milliseconds since 1970
 * @property {"in" | "out"} direction
 * @property {string} kind
 * @property {string | null} sender
 * @property {string[]} to
 * @property {string} topic
 * @property {number | null} size bytes
 * @property {number} transferred bytes
 * @property {Status} status
 * @property {string | null} error
 * @property {number | null} duration seconds
 * @property {boolean | null} reliable
 * @property {"text" | "json" | "hex" | "image" | "file"} content what the preview is
 * @property {string} preview
 * @property {boolean} more whether the preview is only the beginning
 */

/**
 * What only an opened event has.
 * @typedef {object} EventDetails
 * @property {Record<string, string>} [attributes]
 * @property {string} [type] an image's media type
 * @property {string} [result]
 */

/** @typedef {EventRow & EventDetails} WholeEvent */

/**
 * @typedef {object} FeedAnswers
 * @property {null} filter
 * @property {null} clear
 * @property {WholeEvent} read
 * @property {{ name: string, left: number }} download
 */

/** @typedef {{ values: FeedValues, rows: { events: EventRow }, answers: FeedAnswers }} FeedPart */

// Uploads, which chat and transfers share

/**
 * @typedef {object} UploadAnswers
 * @property {string} begin the key of the new upload
 * @property {number} upload
 * @property {null} discard
 */

// Chat

/**
 * @typedef {object} ChatValues
 * @property {string} state
 * @property {[identity: string, name: string][]} people
 * @property {Record<string, number>} growing bytes received so far of the open messages, by key
 * @property {number} head characters of a text that come with its row
 * @property {number} each characters in a piece
 * @property {number} gone messages that are no longer in the chat
 * @property {number} unreadable
 */

/**
 * @typedef {object} MessageRow
 * @property {number} time milliseconds since 1970
 * @property {string | null} sender
 * @property {string} name
 * @property {boolean} own
 * @property {string[]} to
 * @property {number} more_to
 * @property {string} text its beginning
 * @property {number} length characters
 * @property {number} cut characters that the room's log no longer has
 * @property {string} piece the name that its pieces' keys begin with
 * @property {number} size bytes
 * @property {boolean} open
 * @property {Status} status
 * @property {string | null} error
 * @property {string | null} trouble why the last edit failed
 * @property {boolean} edited
 * @property {boolean} can_reply
 * @property {boolean} can_edit
 * @property {QuoteRow | null} reply
 * @property {AttachmentRow[]} files
 */

/**
 * @typedef {object} QuoteRow
 * @property {string | null} key null when the message is not in the chat
 * @property {string} name
 * @property {string} text
 */

/**
 * A file of a message. One that has not arrived has only an id, a name and a status.
 * @typedef {object} AttachmentRow
 * @property {string} id
 * @property {string} name
 * @property {Status | "missing"} status
 * @property {number | null} [size] bytes
 * @property {number} [transferred] bytes
 * @property {string | null} [error]
 * @property {boolean} [there] whether it can be downloaded
 * @property {boolean} [gone] whether it could be once
 * @property {string | null} [type] the media type of an image that is safe to show
 */

/**
 * @typedef {object} PieceRow
 * @property {string} text
 */

/**
 * @typedef {object} ChatOnlyAnswers
 * @property {null} send
 * @property {{ text: string, more: number }} read
 * @property {{ name: string, size: number }} file
 */

/** @typedef {ChatOnlyAnswers & UploadAnswers} ChatAnswers */
/** @typedef {{ values: ChatValues, rows: { messages: MessageRow, pieces: PieceRow }, answers: ChatAnswers }} ChatPart */

// Participants

/**
 * @typedef {object} ParticipantsValues
 * @property {string} identity
 * @property {string} state
 * @property {number} total
 * @property {number} matching
 * @property {string} filter
 * @property {string} name
 * @property {EditableText} metadata
 * @property {RoomMetadata} roomMetadata
 * @property {string} refused why this participant may not change its own state; empty when it may
 * @property {string} roomRefused
 * @property {number} attributes
 * @property {number} size bytes of all attributes
 * @property {number} limit bytes
 */

/**
 * @typedef {object} Beginning
 * @property {string} text
 * @property {boolean} more whether the text goes on
 */

/**
 * @typedef {object} EditableText
 * @property {string} text its beginning
 * @property {boolean} more whether the text goes on
 * @property {number} checksum of the whole text
 */

/**
 * @typedef {object} RoomMetadata
 * @property {string} text its beginning
 * @property {boolean} more whether the text goes on
 * @property {number} checksum of the whole text
 * @property {number} changed
 */

/**
 * @typedef {object} PersonRow
 * @property {string} identity
 * @property {string} name
 * @property {boolean} you
 * @property {string} kind
 * @property {string} state
 * @property {number | null} joined milliseconds since 1970
 * @property {string} quality
 * @property {Record<string, boolean>} permissions
 * @property {string[]} tracks
 * @property {number} moreTracks
 * @property {AttributeRow[]} attributes
 * @property {number} moreAttributes
 * @property {Beginning} metadata
 * @property {{ name?: number, metadata?: number, permissions?: number }} changed
 */

/**
 * @typedef {object} LeftRow
 * @property {string} identity
 * @property {string} name
 * @property {number} left milliseconds since 1970
 */

/**
 * @typedef {object} AttributeRow
 * @property {string} key
 * @property {number} changed milliseconds since 1970; 0 when it has not just changed
 * @property {string} [text]
 * @property {boolean} [more]
 * @property {boolean} [deleted]
 */

/**
 * @typedef {object} OwnAttributeRow
 * @property {string} value
 * @property {number} changed
 */

/** @typedef {{ confirmed: number }} Confirmation when the server confirmed, in milliseconds since 1970 */

/**
 * @typedef {object} ParticipantsAnswers
 * @property {null} filter
 * @property {{ text: string }} read
 * @property {Confirmation} set_attribute
 * @property {Confirmation} delete_attribute
 * @property {Confirmation} set_name
 * @property {Confirmation} set_metadata
 * @property {Confirmation} set_room_metadata
 */

/** @typedef {{ people: PersonRow | LeftRow, mine: OwnAttributeRow }} ParticipantsRows */
/** @typedef {{ values: ParticipantsValues, rows: ParticipantsRows, answers: ParticipantsAnswers }} ParticipantsPart */

// RPC

/**
 * @typedef {object} RpcValues
 * @property {string} room
 * @property {boolean} connected
 * @property {[identity: string, name: string][]} peers
 * @property {number} peersLeftOut
 * @property {string[]} methods
 * @property {number} limit
 * @property {number} longest seconds
 */

/**
 * @typedef {object} CallRow
 * @property {number} time milliseconds since 1970
 * @property {string} to
 * @property {string} method
 * @property {string} payload
 * @property {boolean} raw whether payload and answer are plain text
 * @property {string} answer
 * @property {Status} status
 * @property {string} code
 * @property {string} name of the error
 * @property {string} message
 * @property {string} data
 * @property {number | null} duration seconds
 * @property {number | null} elapsed seconds, while it is under way
 * @property {boolean} more whether a text is only the beginning
 * @property {boolean} cut whether the payload is too long to be called with again
 */

/**
 * @typedef {object} MethodRow
 * @property {string} method
 * @property {string} function
 * @property {number} calls
 * @property {number} errors
 * @property {number} failed
 * @property {number} running
 * @property {number} waiting
 * @property {number | null} last milliseconds since 1970
 * @property {number | null} took seconds
 * @property {number | null} mean seconds
 * @property {number | null} longest seconds
 * @property {string[]} callers
 */

/** @typedef {{ call: { key: string, row: CallRow }, read: CallRow }} RpcAnswers */
/** @typedef {{ values: RpcValues, rows: { calls: CallRow, served: MethodRow }, answers: RpcAnswers }} RpcPart */

// Transfers

/**
 * @typedef {object} TransfersValues
 * @property {string[]} people
 * @property {number} total
 * @property {number} piece bytes that one message carries
 * @property {number} uploadLimit bytes
 * @property {number} downloadLimit bytes
 * @property {number} imageLimit bytes
 */

/**
 * @typedef {object} TransferRow
 * @property {number} time milliseconds since 1970
 * @property {"in" | "out"} direction
 * @property {string} name
 * @property {string} sender
 * @property {string[]} to
 * @property {number} recipients
 * @property {string} topic
 * @property {number | null} size bytes
 * @property {number} transferred bytes
 * @property {Status} status
 * @property {string | null} error
 * @property {number | null} duration seconds
 * @property {number | null} rate bytes per second
 * @property {number | null} left seconds
 * @property {boolean} file whether it can be saved
 * @property {boolean} verified
 * @property {boolean} image whether it can be shown
 * @property {string | null} saved the path of its copy
 */

/**
 * @typedef {object} TransfersOnlyAnswers
 * @property {boolean} cancel whether it was still under way
 * @property {{ path: string }} save
 * @property {{}} piece
 * @property {{ type: string }} image
 * @property {{ size: number }} send
 */

/** @typedef {TransfersOnlyAnswers & UploadAnswers} TransfersAnswers */
/** @typedef {{ values: TransfersValues, rows: { transfers: TransferRow }, answers: TransfersAnswers }} TransfersPart */

// Telemetry

/**
 * @typedef {object} TelemetryValues
 * @property {string[]} fields
 * @property {[sender: string, topic: string][]} sources
 * @property {number} total samples
 * @property {number} rate samples per second
 * @property {number} window samples that are shown
 * @property {number} thinned
 * @property {number} undecoded
 * @property {string} reason
 * @property {[count: number, names: string[]]} refused
 * @property {{ fields: string[], topic: string | null }} only
 */

/**
 * Samples as columns: little-endian numbers in base64.
 * @typedef {object} BatchRow
 * @property {number} count
 * @property {string} time
 * @property {string} source
 * @property {string[]} columns
 * @property {boolean} anew whether it replaces all batches before it
 */

/** @typedef {{ library: { style: string }, clear: null }} TelemetryAnswers */
/** @typedef {{ values: TelemetryValues, rows: { batches: BatchRow }, answers: TelemetryAnswers }} TelemetryPart */

export {};
