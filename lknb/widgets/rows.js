// What the kernel sends about each part: its rows, its single values, and the answers of its actions. Only types:
// `rows.py` has the same names and keys. Times are milliseconds since 1970 and sizes are bytes, unless stated otherwise.

/** @typedef {"in" | "out"} Direction */
/** @typedef {"open" | "ok" | "failed" | "dropped"} Status */
/** @typedef {"text" | "json" | "hex" | "image" | "file"} Content what a preview shows */
/** @typedef {[identity: string, name: string]} Person */

/**
 * Whom a part can send to or call.
 * @typedef {object} PeopleValues
 * @property {Person[]} people
 * @property {number} more_people not listed
 */

/**
 * Part of a file; its bytes travel beside the answer.
 * @typedef {object} FilePiece
 */

// Panel

/**
 * @typedef {object} PanelValues
 * @property {string} room
 * @property {string} identity
 * @property {string} name empty if it equals the identity
 * @property {string} state
 * @property {string} reason
 * @property {number | null} participants null once the room is closed
 * @property {string[]} ended the names of the handlers that ended when this panel left
 * @property {RecordingRow[]} recordings
 */

/**
 * A recording in progress.
 * @typedef {object} RecordingRow
 * @property {string} file
 * @property {number} seconds
 * @property {number} size
 * @property {number} dropped events that could not be written in time
 */

/**
 * A recording that has begun.
 * @typedef {object} RecordingStarted
 * @property {string} file
 */

/** @typedef {{ leave: null, rejoin: null, record: RecordingStarted, stop_recording: null }} PanelAnswers */
/** @typedef {{ values: PanelValues, rows: {}, answers: PanelAnswers }} PanelPart */

// Feed

/**
 * @typedef {object} FeedFilter
 * @property {string[]} [kinds]
 * @property {string[]} [senders]
 * @property {string} [topic]
 * @property {string} [text]
 */

/**
 * What the feed was limited to when it was made.
 * @typedef {object} FeedOnly
 * @property {string[]} kinds empty for all
 * @property {string | null} topic
 * @property {string | null} sender
 */

/**
 * @typedef {object} FeedValues
 * @property {number} evicted events that the log no longer has
 * @property {number} matched
 * @property {number} skipped events that came and went between two batches
 * @property {number} rate events per second
 * @property {FeedFilter} filter shared by all views
 * @property {FeedOnly} only
 * @property {string[]} kinds all that can be filtered for
 * @property {string[]} senders those of the events so far
 * @property {number} limit rows that the kernel keeps
 */

/**
 * @typedef {object} EventRow
 * @property {number} time
 * @property {Direction} direction
 * @property {string} kind
 * @property {string | null} sender
 * @property {string[]} to
 * @property {string} topic
 * @property {number | null} size
 * @property {number} transferred
 * @property {Status} status
 * @property {string | null} error
 * @property {number | null} duration seconds
 * @property {boolean | null} reliable
 * @property {Content} content
 * @property {string} preview the value, if the topic has a decoder that could read it
 * @property {string | null} value_error why it could not
 * @property {boolean} more whether the preview is only the beginning
 */

/**
 * What only an opened event has.
 * @typedef {object} EventDetails
 * @property {Record<string, string>} [attributes]
 * @property {string | null} [type] an image's media type
 * @property {string} [result]
 * @property {string} [value] what the topic's decoder makes of the payload, as JSON
 */

/** @typedef {EventRow & EventDetails} WholeEvent */

/**
 * @typedef {object} FeedDownload
 * @property {string} name
 * @property {number} left older events that did not fit
 */

/**
 * @typedef {object} FeedAnswers
 * @property {null} filter
 * @property {null} clear
 * @property {WholeEvent} read
 * @property {FeedDownload} download
 */

/** @typedef {{ values: FeedValues, rows: { events: EventRow }, answers: FeedAnswers }} FeedPart */

// Uploads, which chat and transfers share

/**
 * @typedef {object} UploadStart
 * @property {string} key
 * @property {number} piece bytes of the file in one message
 */

/**
 * @typedef {object} UploadAnswers
 * @property {UploadStart} begin
 * @property {number} upload
 * @property {null} discard
 */

// Chat

/**
 * @typedef {object} ChatOnlyValues
 * @property {string} state
 * @property {Record<string, number>} growing bytes received so far of the open messages, by key
 * @property {number} head_length characters of a text that come with its row
 * @property {number} piece_length characters in a piece
 * @property {number} text_limit characters of a message
 * @property {number} dropped messages that are no longer in the chat
 * @property {number} unreadable
 */

/** @typedef {PeopleValues & ChatOnlyValues} ChatValues */

/**
 * @typedef {object} MessageRow
 * @property {number} time
 * @property {string | null} sender
 * @property {string} name
 * @property {boolean} own
 * @property {string[]} to
 * @property {number} more_to
 * @property {string} text its beginning
 * @property {number} length characters
 * @property {number} cut characters that the room's log no longer has
 * @property {string} piece the name that its pieces' keys begin with
 * @property {number} size
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
 * The message that another one answers.
 * @typedef {object} QuoteRow
 * @property {string | null} key null if the message is not in the chat
 * @property {string} name
 * @property {string} text
 */

/**
 * A file of a message. One that has not begun to arrive has only an id, a name and a status.
 * @typedef {object} AttachmentRow
 * @property {string} id
 * @property {string} name
 * @property {Status | "missing"} status
 * @property {number | null} [size]
 * @property {number} [transferred]
 * @property {string | null} [error]
 * @property {boolean} [available] whether it can be downloaded
 * @property {boolean} [evicted] whether it once could be
 * @property {string | null} [type] the media type of an image to show
 */

/**
 * @typedef {object} PieceRow
 * @property {string} text
 */

/**
 * @typedef {object} MessageText
 * @property {string} text
 * @property {number} more characters beyond the limit
 */

/**
 * @typedef {object} ChatOnlyAnswers
 * @property {null} send
 * @property {MessageText} read
 * @property {FilePiece} file
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
 * @property {RoomMetadata} room_metadata
 * @property {string} refused why this participant may not change its own state; empty if it may
 * @property {string} room_refused
 * @property {number} attributes
 * @property {number} size of all attributes
 * @property {number} limit for the size
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
 * @property {number | null} joined
 * @property {string} quality
 * @property {Record<string, boolean>} permissions
 * @property {string[]} tracks
 * @property {number} more_tracks
 * @property {AttributeRow[]} attributes
 * @property {number} more_attributes
 * @property {Beginning} metadata
 * @property {PersonChanges} changed
 */

/**
 * When a participant's state has just changed.
 * @typedef {object} PersonChanges
 * @property {number} [name]
 * @property {number} [metadata]
 * @property {number} [permissions]
 */

/**
 * @typedef {object} LeftRow
 * @property {string} identity
 * @property {string} name
 * @property {number} left
 */

/**
 * An attribute of a participant. A deleted one has no text.
 * @typedef {object} AttributeRow
 * @property {string} key
 * @property {number} changed 0 if it has not just changed
 * @property {string} [text]
 * @property {boolean} [more]
 * @property {boolean} [deleted]
 */

/**
 * @typedef {object} OwnAttributeRow
 * @property {string} value
 * @property {number} changed
 */

/**
 * @typedef {object} Confirmation
 * @property {number} confirmed when the server confirmed
 */

/**
 * @typedef {object} ParticipantsAnswers
 * @property {null} filter
 * @property {Beginning} read
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
 * @typedef {object} RpcOnlyValues
 * @property {string} room
 * @property {boolean} connected
 * @property {[method: string, participants: string[]][]} methods each with those who have answered it
 * @property {number} timeout seconds, the default
 * @property {number} timeout_limit seconds
 * @property {number} method_limit bytes of a method's name
 * @property {number} text_limit characters of a payload or answer
 */

/** @typedef {PeopleValues & RpcOnlyValues} RpcValues */

/**
 * @typedef {object} CallRow
 * @property {number} time
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
 * @property {number | null} elapsed seconds, while it is in progress
 * @property {boolean} more whether a text is only the beginning
 * @property {boolean} cut whether the payload is too long to call with again
 */

/**
 * @typedef {object} CallAnswer
 * @property {string} key
 * @property {CallRow} row
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
 * @property {number | null} last
 * @property {number | null} took seconds
 * @property {number | null} mean seconds
 * @property {number | null} longest seconds
 * @property {string[]} callers
 */

/** @typedef {{ call: CallAnswer, read: CallRow }} RpcAnswers */
/** @typedef {{ values: RpcValues, rows: { calls: CallRow, served: MethodRow }, answers: RpcAnswers }} RpcPart */

// Transfers

/**
 * @typedef {object} TransfersOnlyValues
 * @property {number} total
 * @property {number} piece bytes of a file in one message
 * @property {number} upload_limit
 * @property {number} download_limit
 * @property {number} preload_limit of an image that is loaded without a request
 */

/** @typedef {PeopleValues & TransfersOnlyValues} TransfersValues */

/**
 * @typedef {object} TransferRow
 * @property {number} time
 * @property {Direction} direction
 * @property {string} name
 * @property {string} sender
 * @property {string[]} to
 * @property {number} recipients
 * @property {string} topic
 * @property {number | null} size
 * @property {number} transferred
 * @property {Status} status
 * @property {string | null} error
 * @property {number | null} duration seconds
 * @property {number | null} rate bytes per second
 * @property {number | null} left seconds
 * @property {boolean} file whether it can be saved
 * @property {boolean} verified
 * @property {boolean} image whether it can be shown
 * @property {boolean} table whether its first rows can be shown
 * @property {string | null} saved the path of its copy
 */

/**
 * @typedef {object} SavedFile
 * @property {string} path
 */

/**
 * @typedef {object} Image
 * @property {string} type
 */

/**
 * @typedef {object} TablePreview
 * @property {string[]} columns
 * @property {string[]} types
 * @property {((null | string)[])[]} rows
 * @property {number} row_count of the whole table
 * @property {number} column_count
 * @property {number} size bytes in memory
 */

/**
 * @typedef {object} TransfersOnlyAnswers
 * @property {boolean} cancel whether it was still in progress
 * @property {SavedFile} save
 * @property {FilePiece} piece
 * @property {Image} image
 * @property {TablePreview} table
 * @property {null} send
 */

/** @typedef {TransfersOnlyAnswers & UploadAnswers} TransfersAnswers */
/** @typedef {{ values: TransfersValues, rows: { transfers: TransferRow }, answers: TransfersAnswers }} TransfersPart */

// Telemetry

/**
 * What the plot was limited to when it was made.
 * @typedef {object} TelemetryOnly
 * @property {string[]} fields
 * @property {string | null} topic
 */

/**
 * @typedef {object} TelemetryValues
 * @property {string[]} fields
 * @property {string[]} units of each field, "" if unknown
 * @property {[sender: string, topic: string][]} sources
 * @property {number} total samples
 * @property {number} rate samples per second
 * @property {number} window samples that are shown
 * @property {number} thinned
 * @property {number} undecoded
 * @property {string} reason
 * @property {[count: number, names: string[]]} refused
 * @property {TelemetryOnly} only
 */

/**
 * Samples as columns: little-endian numbers in base64.
 * @typedef {object} BatchRow
 * @property {number} count
 * @property {string} time
 * @property {string} source
 * @property {string[]} columns
 * @property {boolean} snapshot whether it replaces all batches before it
 */

/**
 * Perspective's style; its module travels beside the answer.
 * @typedef {object} Library
 * @property {string} style
 */

/** @typedef {{ plotter: Library, library: Library, clear: null }} TelemetryAnswers */
/** @typedef {{ values: TelemetryValues, rows: { batches: BatchRow }, answers: TelemetryAnswers }} TelemetryPart */

// Timeline

/**
 * @typedef {object} TimelineValues
 * @property {string} room
 * @property {string} identity
 * @property {boolean} live whether more can happen
 * @property {[begin: number, end: number] | null} recorded when a recording begins and ends
 * @property {string[]} lanes the participants by the number of their lane; the room itself is ""
 * @property {boolean} others whether one more lane has further participants
 * @property {string[]} topics by their number
 * @property {string[]} kinds by their number
 * @property {string[]} statuses by their number
 * @property {number} first the position of the oldest event that the kernel keeps
 * @property {number} total
 * @property {number} left_out older events
 * @property {number} batch the number of the newest batch
 * @property {number} now
 * @property {number | null} loading how much of a recording has been read, from 0 to 1
 * @property {string} trouble
 */

/**
 * Events that are new or have changed, as packed columns in base64: see `timeline_store.js`.
 * @typedef {object} TimelineBatch
 * @property {number} count
 * @property {string} columns
 * @property {boolean} whole whether these are all that the kernel keeps
 */

/**
 * The same on request; the bytes travel beside the answer.
 * @typedef {object} TimelineEvents
 * @property {number} count
 * @property {number} batch the number of the newest batch, whose events are among these
 * @property {number | null} next the position to go on with
 */

/**
 * A participant who was there.
 * @typedef {object} TimelinePerson
 * @property {string} identity
 * @property {string} name
 * @property {Beginning} metadata
 * @property {[key: string, value: Beginning][]} attributes
 * @property {number} more_attributes
 */

/**
 * The state of the room at a moment of a recording.
 * @typedef {object} TimelineState
 * @property {number} time
 * @property {Beginning} metadata
 * @property {TimelinePerson[]} people
 * @property {number} more_people
 */

/** @typedef {{ events: TimelineEvents, read: WholeEvent, state_at: TimelineState }} TimelineAnswers */
/** @typedef {{ values: TimelineValues, rows: { batches: TimelineBatch }, answers: TimelineAnswers }} TimelinePart */

// Replay

/**
 * How far a replay is.
 * @typedef {object} ReplayValues
 * @property {string} state
 * @property {string | null} error
 * @property {number} position seconds of the recording
 * @property {number} duration
 * @property {number | null} speed null for as fast as it goes
 * @property {number} sent
 * @property {[reason: string, count: number][]} skipped
 * @property {number} failed
 * @property {string[]} errors
 * @property {number[] | null} late seconds: the median, the 99th percentile, the longest
 */

/** @typedef {{ pause: null, resume: null, step: null, stop_replay: null, speed: null }} ReplayAnswers */
/** @typedef {{ values: ReplayValues, rows: {}, answers: ReplayAnswers }} ReplayPart */

export {};
